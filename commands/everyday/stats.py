"""``fashion-cascade stats``: count pictures by label, as a tree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from commands.common import open_catalogue
from commands.filters import check_filter, filter_from_options, filter_options
from commands.options import catalogue_option, record_format_option
from commands.output import FORMATS, resolve_format, write_records
from rendering.text import printable, table_lines

if TYPE_CHECKING:
    from db.summaries import Count

GROUPS = "crawl, shop, model, day, or level_N for the first N levels of the label"
COLUMNS = ("group", "status", "label", "reason", "rows", "mean_confidence")


@click.command()
@filter_options
@click.option("--by", metavar="GROUP", help=f"Count separately by {GROUPS}.")
@record_format_option(*FORMATS)
@catalogue_option
def command(
    catalogue_url: str | None, output_format: str | None, by: str | None, **filters: Any
) -> None:
    """Count pictures by status and label.

    Each count comes with the mean confidence, each reason of a rejection with the words of one
    error (query has those of all, in the column detail). Filters are combined with "and"; in a
    PATTERN, * matches any text.

    \b
    Example:
      fashion-cascade stats
      fashion-cascade stats --by shop --label 'shoes/*'
      fashion-cascade stats --by level_2
      fashion-cascade stats --crawl spring --format csv
    """
    from db.summaries import sample_details, stats

    wanted = filter_from_options(filters)
    with open_catalogue(catalogue_url) as catalogue:
        wanted = check_filter(catalogue.engine, wanted)
        counts = stats(catalogue.engine, wanted, by=by)
        as_table = resolve_format(output_format) == "table"
        details = sample_details(catalogue.engine, wanted, counts) if as_table else {}
    if not as_table:
        write_records((vars(count) for count in counts), COLUMNS, output_format)
    elif not counts and any(value is not None for value in filters.values()):
        click.echo("no picture fits")
    else:
        for line in count_tree(counts, grouped=by is not None):
            click.echo(line)
        for reason, words in details.items():
            click.echo(f"{reason}, for example: {printable(words)}")


def count_tree(counts: Iterable[Count], *, grouped: bool = False) -> list[str]:
    """The lines of an indented tree; each node is the sum of the nodes below it."""
    rows: Counter[tuple[str, ...]] = Counter()
    labelled: Counter[tuple[str, ...]] = Counter()
    confidence_sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for count in counts:
        below = (count.label or count.reason or "").split("/")
        node = tuple(part for part in (count.status, *below) if part)
        if grouped:
            node = (count.group or "(none)", *node)
        for depth in range(1, len(node) + 1):
            rows[node[:depth]] += count.rows
            if count.mean_confidence is not None:
                labelled[node[:depth]] += count.rows
                confidence_sums[node[:depth]] += count.mean_confidence * count.rows
    if not rows:
        return ["the catalogue is empty"]
    cells = [
        [
            "  " * (len(node) - 1) + node[-1],
            f"{rows[node]:>9,}",
            f"{confidence_sums[node] / labelled[node]:.3f}" if labelled[node] else "",
        ]
        for node in sorted(rows)
    ]
    return list(table_lines(None, cells, numeric=True))
