"""Prints records: a table on a terminal, JSON lines when piped, CSV on request.

Data goes to standard output, everything else to standard error. Records are written as they come,
so a million of them need no memory. Nothing is truncated: very wide columns, mostly paths, come
last in a table, where they do not break the alignment.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from rendering.csv_lines import csv_line_writer
from rendering.text import table_line, table_lines

Record = Mapping[str, Any]

FORMATS = ("table", "jsonl", "csv")
MEASURED_ROWS = 200
WIDEST_CELL = 60
NARROWEST_CELL = 10
LAST_COLUMN = "path"  # of a RecordWriter's table: long paths do not break the alignment there


def resolve_format(output_format: str | None, stream: TextIO | None = None) -> str:
    """The format to use: the one asked for, or the one that suits the stream."""
    if output_format is not None:
        return output_format
    return "table" if (stream or sys.stdout).isatty() else "jsonl"


def write_records(
    records: Iterable[Record],
    columns: Sequence[str],
    output_format: str | None = None,
    stream: TextIO | None = None,
) -> int:
    """Write all records, each with all of `columns`, and return their number.

    A table measures its columns on the first records.
    """
    from db.exports.text_encoding import to_terminal

    out = stream or sys.stdout
    if resolve_format(output_format, out) != "table":
        return RecordWriter(columns, output_format, out).write(records)
    rows = ([to_terminal(record[name]) for name in columns] for record in records)
    first = list(itertools.islice(rows, 1))
    if not first:
        return 0
    number = -2  # the header and the rule are not records
    for line in table_lines(
        columns,
        itertools.chain(first, rows),
        measured_rows=MEASURED_ROWS,
        widest_cell=WIDEST_CELL,
    ):
        out.write(line + "\n")
        number += 1
    return number


class RecordWriter:
    """Writes records that come in batches, and keeps none.

    Args:
        columns: the keys to write, in this order; a table has `path` last.
        output_format: one of `FORMATS`; None: by the stream.
        stream: standard output unless given.
        widths: widths of table columns, which cannot be measured here.
    """

    def __init__(
        self,
        columns: Sequence[str],
        output_format: str | None = None,
        stream: TextIO | None = None,
        *,
        widths: Mapping[str, int] | None = None,
    ) -> None:
        self._stream = stream or sys.stdout
        self._format = resolve_format(output_format, self._stream)
        self._columns = list(columns)
        if self._format == "table":
            self._columns.sort(key=lambda name: name == LAST_COLUMN)
        known = widths or {}
        self._widths = [known.get(name, max(NARROWEST_CELL, len(name))) for name in self._columns]
        self._csv = csv_line_writer(self._stream.write)
        self._header_written = False

    def write(self, records: Iterable[Record]) -> int:
        """Write one batch and return its number of records."""
        if not self._header_written:
            self._header_written = True
            self._write_header()
        write_row = self._row_writer()
        number = 0
        for record in records:
            write_row(record)
            number += 1
        return number

    def _write_header(self) -> None:
        if self._format == "csv":
            self._csv(self._columns)
        elif self._format == "table":
            self._write_line(self._columns)

    def _row_writer(self) -> Callable[[Record], object]:
        from db.exports.text_encoding import json_line, to_cell, to_terminal

        columns, out = self._columns, self._stream
        if self._format == "jsonl":
            return lambda row: out.write(json_line({name: row[name] for name in columns}) + "\n")
        if self._format == "csv":
            return lambda row: self._csv([to_cell(row[name]) for name in columns])
        return lambda row: self._write_line([to_terminal(row[name]) for name in columns])

    def _write_line(self, cells: Sequence[str]) -> None:
        self._stream.write(table_line(cells, self._widths) + "\n")
