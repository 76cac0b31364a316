"""``fashion-cascade query``: the pictures that fit, as a table, JSON lines or CSV."""

from __future__ import annotations

from typing import Any

import click

from commands.common import catalogue_option, opened
from commands.filters import check_filter, filter_options, made_filter
from commands.output import format_option, write

PAGE = 100
ORDER_HELP = "id, confidence, margin or labelled_at; -NAME for the greatest first [id]."
# label is the model's; human_label, where there is one, is what counts
COLUMNS = (
    "path",
    "status",
    "label",
    "human_label",
    "confidence",
    "best_leaf",
    "reason",
    "model_version",
)


@click.command()
@filter_options
@click.option("--limit", type=click.IntRange(min=1), help="At most this many.")
@click.option("--order-by", metavar="COLUMN", default="id", help=ORDER_HELP)
@click.option("--after", metavar="TOKEN", help="Go on after a page: what it printed as next.")
@click.option("--columns", metavar="A,B,…", help="Which columns, in which order; 'all' for all.")
@click.option("--count", "only_count", is_flag=True, help="Print only how many there are.")
@format_option()
@catalogue_option
def command(
    *,
    catalogue_url: str | None,
    form: str | None,
    limit: int | None,
    order_by: str,
    after: str | None,
    columns: str | None,
    only_count: bool,
    **filters: Any,
) -> None:
    """Find pictures in the catalogue. Filters hold together; * stands for anything.

    \b
    Example:
      fashion-cascade query --label 'shoes/female/*' --min-confidence 0.9 --limit 20
      fashion-cascade query --needs-review --order-by confidence --limit 20
      fashion-cascade query --status rejected --format csv > rejected.csv
    """
    from db import queries

    names = chosen_columns(columns)
    wanted = made_filter(filters)
    with opened(catalogue_url) as catalogue:
        check_filter(catalogue.engine, wanted)
        if only_count:
            click.echo(queries.count(catalogue.engine, wanted))
            return
        if limit is None and after is None:
            found = queries.rows(catalogue.engine, wanted, order_by=order_by)
            write((vars(row) for row in found), names, form)
            return
        page = queries.page(
            catalogue.engine, wanted, order_by=order_by, limit=limit or PAGE, after=after
        )
        write((vars(row) for row in page.rows), names, form)
        if page.next is not None:
            click.echo(f"next: --after {page.next}", err=True)


def chosen_columns(columns: str | None) -> tuple[str, ...]:
    """The column names that the option asks for; a usage error for one that is not there."""
    from db.convert import ROW_NAMES

    if columns is None:
        return COLUMNS
    if columns == "all":
        return ROW_NAMES
    names = tuple(name.strip() for name in columns.split(","))
    for name in names:
        if name not in ROW_NAMES:
            raise click.BadParameter(
                f"expected columns out of {', '.join(ROW_NAMES)}, received {name!r}",
                param_hint="--columns",
            )
    return names
