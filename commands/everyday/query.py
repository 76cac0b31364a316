"""``fashion-cascade query``: the pictures that fit, as a table, JSON lines, CSV or Parquet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from commands.common import catalogue_option, opened, placed
from commands.filters import check_filter, filter_options, made_filter
from commands.output import FORMATS, Record, format_option, write

PAGE = 100
PARQUET = "parquet"
ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": PARQUET}
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
@format_option((*FORMATS, PARQUET))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write into this file; its ending says the format, where --format does not.",
)
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
    output: Path | None,
    **filters: Any,
) -> None:
    """Find pictures in the catalogue. Filters hold together; * stands for anything.

    \b
    Example:
      fashion-cascade query --label 'shoes/female/*' --min-confidence 0.9 --limit 20
      fashion-cascade query --needs-review --order-by confidence --limit 20
      fashion-cascade query --status rejected --format csv > rejected.csv
      fashion-cascade query --label 'shoes/*' --columns path,label --output shoes.parquet
    """
    from db import queries

    names = chosen_columns(columns)
    form = chosen_format(form, output)
    wanted = made_filter(filters)
    with opened(catalogue_url) as catalogue:
        check_filter(catalogue.engine, wanted)
        if only_count:
            click.echo(queries.count(catalogue.engine, wanted))
            return
        if limit is None and after is None:
            found = queries.rows(catalogue.engine, wanted, order_by=order_by)
            _print((vars(row) for row in found), names, form, output)
            return
        page = queries.page(
            catalogue.engine, wanted, order_by=order_by, limit=limit or PAGE, after=after
        )
        _print((vars(row) for row in page.rows), names, form, output)
        if page.next is not None:
            click.echo(f"next: --after {page.next}", err=True)


def chosen_format(form: str | None, output: Path | None) -> str | None:
    """The format that is asked for or that the ending of `output` says; None: by the terminal."""
    if output is None:
        if form == PARQUET and sys.stdout.isatty():
            raise click.UsageError("Parquet is not for a terminal: add --output FILE")
        return form
    chosen = form or ENDINGS.get(output.suffix)
    if chosen is None:
        raise click.UsageError(f"{output}: which --format? Known endings: {', '.join(ENDINGS)}")
    return chosen


def _print(
    records: Iterable[Record], columns: Sequence[str], form: str | None, output: Path | None
) -> None:
    """To standard output; or into a file, which takes its name when it is whole."""
    from db.exports.parquet import write_records

    if output is None:
        if form == PARQUET:
            write_records(records, columns, sys.stdout.buffer)
        else:
            write(records, columns, form)
        return
    partial = Path(f"{output}.partial")
    with placed(output):
        try:
            if form == PARQUET:
                with partial.open("wb") as binary:
                    number = write_records(records, columns, binary)
            else:
                with partial.open("w", encoding="utf-8", newline="") as text:
                    number = write(records, columns, form, text)
            partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)  # what broke off is of no use: a query is asked again
    click.echo(f"{output}: {number:,} rows", err=True)


def chosen_columns(columns: str | None) -> tuple[str, ...]:
    """The column names that the option asks for; a usage error for one that is not there."""
    from db.writes.row_values import ROW_NAMES

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
