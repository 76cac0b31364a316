"""``fashion-cascade stats``: how many pictures have which label, as a tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from commands.common import catalogue_option, opened
from commands.filters import filter_options, made_filter
from commands.output import chosen, format_option, write

if TYPE_CHECKING:
    from db.queries import Count

COLUMNS = ("status", "label", "reason", "rows", "mean_confidence")


@click.command()
@filter_options
@format_option()
@catalogue_option
def command(catalogue_url: str | None, form: str | None, **filters: Any) -> None:
    """Count the catalogue by status and label, with the mean confidence of each.

    \b
    Example:
      fashion-cascade stats
      fashion-cascade stats --crawl spring --format csv
    """
    from db import queries

    with opened(catalogue_url) as catalogue:
        counts = queries.stats(catalogue.engine, made_filter(filters))
    if chosen(form) == "table":
        for line in tree(counts):
            click.echo(line)
    else:
        write((vars(count) for count in counts), COLUMNS, form)


def tree(counts: Iterable[Count]) -> list[str]:
    """The counts as an indented tree: each level is the sum of what stands below it."""
    rows: dict[tuple[str, ...], int] = {}
    sure: dict[tuple[str, ...], float] = {}
    for count in counts:
        below = tuple((count.label or count.reason or "").split("/"))
        place = (count.status, *below) if below != ("",) else (count.status,)
        for depth in range(1, len(place) + 1):
            rows[place[:depth]] = rows.get(place[:depth], 0) + count.rows
            total = (count.mean_confidence or 0.0) * count.rows
            sure[place[:depth]] = sure.get(place[:depth], 0.0) + total
    if not rows:
        return ["the catalogue is empty"]
    names = {place: "  " * (len(place) - 1) + place[-1] for place in rows}
    width = max(len(name) for name in names.values())
    lines = []
    for place in sorted(rows):
        line = f"{names[place]:<{width}}  {rows[place]:>9,}"
        if place[0] == "labelled":
            line += f"  {sure[place] / rows[place]:.3f}"
        lines.append(line)
    return lines
