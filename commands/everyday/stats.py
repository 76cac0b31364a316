"""``fashion-cascade stats``: how many pictures have which label, as a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from commands.common import catalogue_option, opened
from commands.filters import check_filter, filter_options, made_filter
from commands.output import chosen, format_option, write
from rendering.text import table_lines

if TYPE_CHECKING:
    from db.summaries import Count

GROUPS = ("crawl", "shop", "model", "day")
COLUMNS = ("group", "status", "label", "reason", "rows", "mean_confidence")


@click.command()
@filter_options
@click.option("--by", type=click.Choice(GROUPS), help="Count each of these apart.")
@format_option()
@catalogue_option
def command(catalogue_url: str | None, form: str | None, by: str | None, **filters: Any) -> None:
    """Count the catalogue by status and label, with the mean confidence of each.

    \b
    Example:
      fashion-cascade stats
      fashion-cascade stats --by shop --label 'shoes/*'
      fashion-cascade stats --crawl spring --format csv
    """
    from db.summaries import stats

    wanted = made_filter(filters)
    with opened(catalogue_url) as catalogue:
        check_filter(catalogue.engine, wanted)
        counts = stats(catalogue.engine, wanted, by=by)
    if chosen(form) == "table":
        if not counts and any(value is not None for value in filters.values()):
            click.echo("no picture fits")
            return
        for line in tree(counts, grouped=by is not None):
            click.echo(line)
    else:
        write((vars(count) for count in counts), COLUMNS, form)


def tree(counts: Iterable[Count], *, grouped: bool = False) -> list[str]:
    """The counts as an indented tree: each level is the sum of what stands below it."""
    rows: Counter[tuple[str, ...]] = Counter()
    labelled: Counter[tuple[str, ...]] = Counter()
    sure: dict[tuple[str, ...], float] = {}
    for count in counts:
        below = (count.label or count.reason or "").split("/")
        place = tuple(part for part in (count.status, *below) if part)
        if grouped:
            place = (count.group or "(none)", *place)
        for depth in range(1, len(place) + 1):
            rows[place[:depth]] += count.rows
            if count.mean_confidence is not None:
                labelled[place[:depth]] += count.rows
                total = count.mean_confidence * count.rows
                sure[place[:depth]] = sure.get(place[:depth], 0.0) + total
    if not rows:
        return ["the catalogue is empty"]
    cells = [
        [
            "  " * (len(place) - 1) + place[-1],
            f"{rows[place]:>9,}",
            f"{sure[place] / labelled[place]:.3f}" if labelled[place] else "",
        ]
        for place in sorted(rows)
    ]
    return list(table_lines(None, cells, numeric=True))
