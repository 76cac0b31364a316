"""``fashion-cascade query``: find pictures; print a table, JSON lines, CSV or Parquet."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.alike import near_duplicate_records, similar_records
from commands.common import load_settings, open_catalogue, output_file
from commands.filters import check_filter, filter_from_options, filter_options
from commands.options import (
    EXISTING_FILE,
    NEW_FILE,
    catalogue_option,
    model_option,
    record_format_option,
)
from commands.output import FORMATS, Record, write_records
from rendering.output import STDOUT, open_output
from rendering.text import counted

if TYPE_CHECKING:
    from db.records import Row

PAGE = 100
MOST_ROWS = 2**63 - 2  # one more is read, and databases count in 64 bits
LEVEL = re.compile(r"level_([1-9]\d?)")  # a level of the label
PARQUET = "parquet"
FORMAT_OF_SUFFIX = {".csv": "csv", ".jsonl": "jsonl", ".parquet": PARQUET}
COLUMNS = (
    "path",
    "status",
    "label",
    "human_label",
    "confidence",
    "best_leaf",
    "reason",
    "detail",
    "model_version",
)


@click.command()
@filter_options
@click.option("--limit", type=click.IntRange(1, MOST_ROWS), help="Maximum number of rows.")
@click.option(
    "--order-by",
    metavar="COLUMN",
    default="id",
    help="Order by id, label, confidence, margin or labelled_at; -NAME for descending order.",
)
@click.option("--after", metavar="TOKEN", help="Show the next page; TOKEN is printed with a page.")
@click.option(
    "--columns",
    metavar="A,B,…",
    show_default=",".join(COLUMNS),
    help="Columns in their order; 'all' for all; level_2 for the label's second level.",
)
@click.option(
    "--similar-to",
    type=EXISTING_FILE,
    metavar="PATH",
    help="Pictures that look like the one in this file, the most alike first.",
)
@click.option("--near-duplicates", is_flag=True, help="Groups of nearly the same picture.")
@model_option
@click.option("--count", "only_count", is_flag=True, help="Print only the number of rows.")
@record_format_option(*FORMATS, PARQUET)
@click.option(
    "--out",
    "--output",
    "output",
    type=NEW_FILE,
    help="Write to this file, by default in the format of its suffix; - is standard output.",
)
@catalogue_option
def command(
    *,
    catalogue_url: str | None,
    output_format: str | None,
    limit: int | None,
    order_by: str,
    after: str | None,
    columns: str | None,
    similar_to: Path | None,
    near_duplicates: bool,
    model: str | None,
    only_count: bool,
    output: Path | None,
    **filters: Any,
) -> None:
    """Find pictures in the catalogue.

    Filters are combined with "and"; in a PATTERN, * matches any text. With --limit, the
    token of the next page is printed on stderr.

    --similar-to and --near-duplicates need the vectors that `label --features` keeps. They add the
    column similarity (a cosine, 1: the same) or group. Near-duplicates are other sizes and
    encodings of a picture; the files of candidates are read again to compare their pixels.

    \b
    Example:
      fashion-cascade query --label 'shoes/female/*' --min-confidence 0.9 --limit 20
      fashion-cascade query --needs-review --order-by confidence --limit 20
      fashion-cascade query --status rejected --format csv > rejected.csv
      fashion-cascade query --label 'shoes/*' --columns path,label --output shoes.parquet
      fashion-cascade query --similar-to sandal.jpg --crawl spring --limit 20
    """
    from db import queries

    names = _parse_columns(columns)
    output = None if output == Path(STDOUT) else output
    output_format = _choose_format(output_format, output)
    wanted = filter_from_options(filters)
    with open_catalogue(catalogue_url) as catalogue:
        wanted = check_filter(catalogue.engine, wanted)
        if similar_to is not None or near_duplicates:
            if only_count or after or order_by != "id" or (similar_to and near_duplicates):
                raise click.UsageError(
                    "--similar-to and --near-duplicates have their own order: leave out --count, "
                    "--after, --order-by and the other of the two"
                )
            settings, engine = load_settings(model=model), catalogue.engine
            if similar_to is not None:
                column = "similarity"
                alike = similar_records(engine, settings, similar_to, wanted, limit or PAGE)
            else:
                column, alike = "group", near_duplicate_records(engine, settings, wanted)
            records = (record_of(row, names) | {column: value} for row, value in alike)
            _write(islice(records, limit), (column, *names), output_format, output)
            return
        if only_count:
            click.echo(queries.count(catalogue.engine, wanted))
            return
        if limit is None and after is None:
            found = queries.rows(catalogue.engine, wanted, order_by=order_by)
            _write((record_of(row, names) for row in found), names, output_format, output)
            return
        page = queries.page(
            catalogue.engine, wanted, order_by=order_by, limit=limit or PAGE, after=after
        )
        _write((record_of(row, names) for row in page.rows), names, output_format, output)
        if page.next is not None:
            click.echo(f"next: --after {page.next}", err=True)


def record_of(row: Row, names: Sequence[str]) -> dict[str, Any]:
    """The columns of a row, with those that are worked out from its label."""
    from db.label_patterns import level_name

    record = vars(row) | {"final_label": row.label}
    for name in names:
        if level := LEVEL.fullmatch(name):
            record[name] = None if row.label is None else level_name(row.label, int(level[1]))
    return record


def _choose_format(output_format: str | None, output: Path | None) -> str | None:
    """The format asked for, or that of the suffix of `output`; None: by the terminal."""
    if output is None:
        if output_format == PARQUET and sys.stdout.isatty():
            raise click.UsageError("Parquet cannot be shown on a terminal: add --output FILE")
        return output_format
    chosen = output_format or FORMAT_OF_SUFFIX.get(output.suffix)
    if chosen is None:
        known = ", ".join(FORMAT_OF_SUFFIX)
        raise click.UsageError(f"{output}: which --format? Known suffixes: {known}")
    return chosen


def _write(
    records: Iterable[Record],
    columns: Sequence[str],
    output_format: str | None,
    output: Path | None,
) -> None:
    """Write to standard output, or to a file that gets its name when it is complete."""
    from db.exports import parquet

    if output is None:
        if output_format == PARQUET:
            parquet.write_records(records, columns, sys.stdout.buffer)
        else:
            write_records(records, columns, output_format)
        return
    with output_file(output), open_output(output) as binary:
        if output_format == PARQUET:
            number = parquet.write_records(records, columns, binary)
        else:
            text = io.TextIOWrapper(binary, encoding="utf-8", newline="", write_through=False)
            number = write_records(records, columns, output_format, text)
            text.detach()  # flushes; the file is closed where it was opened
    click.echo(f"{output}: {counted(number, 'row')}", err=True)


def _parse_columns(columns: str | None) -> tuple[str, ...]:
    """The column names of the option; a usage error for an unknown one."""
    from db.exports.files import FINAL_LABEL
    from db.writes.row_values import ROW_NAMES

    if columns is None:
        return COLUMNS
    known = (*ROW_NAMES, FINAL_LABEL)
    if columns == "all":
        return known
    names = tuple(name.strip() for name in columns.split(","))
    for name in names:
        if name not in known and not LEVEL.fullmatch(name):
            raise click.BadParameter(
                f"expected columns out of {', '.join(known)}, level_N, received {name!r}",
                param_hint="--columns",
            )
    return names
