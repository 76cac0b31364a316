"""``fashion-cascade query``: the pictures that fit, as a table, JSON lines or CSV."""

from __future__ import annotations

from typing import Any

import click

from commands.common import catalogue_option, opened
from commands.filters import filter_options, made_filter
from commands.output import format_option, write

COLUMNS = ("path", "status", "label", "confidence", "best_leaf", "reason", "model_version")


@click.command()
@filter_options
@click.option("--limit", type=click.IntRange(min=0), help="At most this many.")
@click.option("--columns", metavar="A,B,…", help="Which columns, in which order; 'all' for all.")
@click.option("--count", "only_count", is_flag=True, help="Print only how many there are.")
@format_option()
@catalogue_option
def command(
    catalogue_url: str | None,
    form: str | None,
    limit: int | None,
    columns: str | None,
    only_count: bool,
    **filters: Any,
) -> None:
    """Find pictures in the catalogue. Filters hold together; * stands for anything.

    \b
    Example:
      fashion-cascade query --label 'shoes/female/*' --min-confidence 0.9 --limit 20
      fashion-cascade query --needs-review --format csv > to-look-at.csv
    """
    from db import queries

    names = chosen_columns(columns)
    wanted = made_filter(filters)
    with opened(catalogue_url) as catalogue:
        if only_count:
            click.echo(queries.count(catalogue.engine, wanted))
            return
        found = queries.rows(catalogue.engine, wanted, limit=limit)
        write((vars(row) for row in found), names, form)


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
