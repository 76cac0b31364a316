"""How commands print records: a table for a person, JSON lines when piped, CSV on request.

Data go to standard output and nothing else does. Records are written as they come, so a million
of them need no memory; a table measures its columns on the first rows. Nothing is cut: what is very
wide, mostly paths, goes to the end of its line, where it pushes nothing out of place.
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO, TypeVar

import click

from rendering.text import table_lines

Command = TypeVar("Command", bound=Callable[..., Any])
Record = Mapping[str, Any]

FORMATS = ("table", "jsonl", "csv")
MEASURED_ROWS = 200
WIDEST_CELL = 60


def format_option(
    formats: Sequence[str] = FORMATS, parameter: str = "form"
) -> Callable[[Command], Command]:
    """The ``--format`` option, passed to the command as `parameter` (None: to be chosen)."""
    return click.option(
        "--format",
        parameter,
        type=click.Choice(list(formats)),
        help="How to print [table on a terminal, jsonl when piped].",
    )


def chosen(form: str | None, stream: TextIO | None = None) -> str:
    """The format to use: what was asked for, or the one that fits the stream."""
    if form is not None:
        return form
    return "table" if (stream or sys.stdout).isatty() else "jsonl"


def write(
    records: Iterable[Record],
    columns: Sequence[str],
    form: str | None = None,
    stream: TextIO | None = None,
) -> int:
    """Write `records`, each with all of `columns`, and return how many there were."""
    out = stream or sys.stdout
    writer = {"table": _table, "jsonl": _json_lines, "csv": _csv}[chosen(form, out)]
    return writer(records, columns, out)


def _json_lines(records: Iterable[Record], columns: Sequence[str], out: TextIO) -> int:
    from db.exports.text_encoding import json_line

    number = 0
    for record in records:
        out.write(json_line({name: record[name] for name in columns}) + "\n")
        number += 1
    return number


def _csv(records: Iterable[Record], columns: Sequence[str], out: TextIO) -> int:
    from db.exports.text_encoding import to_cell

    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    number = 0
    for record in records:
        writer.writerow([to_cell(record[name]) for name in columns])
        number += 1
    return number


def _table(records: Iterable[Record], columns: Sequence[str], out: TextIO) -> int:
    from db.exports.text_encoding import to_terminal

    rows = ([to_terminal(record[name]) for name in columns] for record in records)
    first = list(itertools.islice(rows, 1))
    if not first:
        return 0
    lines = table_lines(
        columns,
        itertools.chain(first, rows),
        measured_rows=MEASURED_ROWS,
        widest_cell=WIDEST_CELL,
    )
    number = -2  # the header and the rule are no records
    for line in lines:
        out.write(line + "\n")
        number += 1
    return number
