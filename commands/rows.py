"""Rows that come batch by batch, printed in the formats of ``commands.output``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from commands.output import chosen
from rendering.text import table_line

WIDTHS = {"label": 30, "best_leaf": 30, "reason": 12, "model_version": 16}
LAST = "path"  # in a table: as long as it is, it pushes nothing out of place


class RowWriter:
    """Writes rows as they come and keeps none.

    A table's columns have fixed widths here, since the rows to come are not known, and the path
    stands last; nothing is cut.
    """

    def __init__(
        self, columns: Sequence[str], form: str | None = None, stream: TextIO | None = None
    ) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._form = chosen(form, self._stream)
        self._columns = list(columns)
        if self._form == "table":
            self._columns.sort(key=lambda name: name == LAST)
        self._began = False
        self._csv = csv.writer(self._stream, lineterminator="\n")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write some rows; each must have every column."""
        from db.exports.text_encoding import json_line, to_cell, to_terminal

        if not self._began:
            self._began = True
            self._head()
        for row in rows:
            values = [row[column] for column in self._columns]
            if self._form == "jsonl":
                record = dict(zip(self._columns, values, strict=True))
                self._stream.write(json_line(record) + "\n")
            elif self._form == "csv":
                self._csv.writerow([to_cell(value) for value in values])
            else:
                self._line([to_terminal(value) for value in values])
        self._stream.flush()

    def _head(self) -> None:
        if self._form == "csv":
            self._csv.writerow(self._columns)
        elif self._form == "table":
            self._line(self._columns)

    def _line(self, cells: Sequence[str]) -> None:
        widths = [WIDTHS.get(column, max(10, len(column))) for column in self._columns]
        self._stream.write(table_line(cells, widths) + "\n")
