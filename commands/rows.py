"""Rows on stdout: a table for a person, JSON lines for a pipe, CSV for a spreadsheet."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

FORMATS = ("table", "jsonl", "csv")
WIDTHS = {"path": 48, "label": 28, "best_leaf": 28, "status": 10, "reason": 12, "help": 60}


class RowWriter:
    """Writes rows as they come, so that nothing is kept in memory.

    Without a `form` it is a table on a terminal and JSON lines elsewhere. The table's columns have
    fixed widths; what is longer pushes the rest of its line to the right, nothing is cut.
    """

    def __init__(
        self, columns: Sequence[str], form: str | None = None, stream: TextIO | None = None
    ) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._columns = columns
        self._form = form or ("table" if self._stream.isatty() else "jsonl")
        self._began = False
        self._csv = csv.writer(self._stream, lineterminator="\n")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write some rows; each must have every column."""
        if not self._began:
            self._began = True
            self._head()
        for row in rows:
            values = [row[column] for column in self._columns]
            if self._form == "jsonl":
                record = dict(zip(self._columns, values, strict=True))
                self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
            elif self._form == "csv":
                self._csv.writerow(["" if value is None else value for value in values])
            else:
                self._line([_shown(value) for value in values])
        self._stream.flush()

    def _head(self) -> None:
        if self._form == "csv":
            self._csv.writerow(self._columns)
        elif self._form == "table":
            self._line(self._columns)

    def _line(self, cells: Sequence[str]) -> None:
        padded = [
            cell.ljust(WIDTHS.get(column, max(10, len(column))))
            for column, cell in zip(self._columns, cells, strict=True)
        ]
        self._stream.write("  ".join(padded).rstrip() + "\n")


def _shown(value: Any) -> str:
    """A cell of a table: no line breaks, two decimals less than nobody reads."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value).replace("\n", "\\n").replace("\t", "\\t")
