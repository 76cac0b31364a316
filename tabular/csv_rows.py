"""Rows of a CSV file: delimiter by the header, header blanks trimmed, ragged rows found."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tabular.errors import TabularError
from tabular.lines import MAX_LINE

DELIMITERS = ",;\t"
_EXCEL_HINT = "sep="  # a first line that tells Excel the delimiter
# of any cell, also of columns that are not read; the module's own limit is 131,072 characters
csv.field_size_limit(MAX_LINE)


def csv_rows(
    lines: Iterator[str],
    name: str,
    columns: Sequence[str],
    required: Sequence[str],
    *,
    whole_rows: bool,
    from_cell: Callable[[str], str] | None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, values) of each row that has a value; see `tabular.read.read_rows`."""
    reader = _Reader(lines, name, columns)
    header = [cell.strip() for cell in next(reader.rows(), (0, []))[1]]
    _check_header(name, header, columns, required)
    chosen = [(n, header.index(n)) for n in columns if n in header]
    width = len(header)
    for number, cells in reader.rows():
        if len(cells) != width:
            if len(cells) < width and whole_rows:
                raise TabularError(
                    f"{name}, line {number}: expected {width} cells as in the header, received "
                    f"{len(cells)}; the row may be cut"
                )
            if any(cell.strip() for cell in cells[width:]):
                raise TabularError(
                    f"{name}, line {number}: expected {width} cells as in the header, received "
                    f"{len(cells)}; put quotes around a cell that contains {reader.delimiter!r}"
                )
            cells.extend([""] * (width - len(cells)))
        values: dict[str, Any] = {n: cells[place] or None for n, place in chosen}
        if from_cell is not None:
            values = {n: cell and from_cell(cell) for n, cell in values.items()}
        yield f"{name}, line {number}", values


class _Reader:
    """The rows of the file with the number of their first line; blank ones are left out."""

    def __init__(self, lines: Iterator[str], name: str, columns: Sequence[str]) -> None:
        self._name = name
        self._size = 0  # characters of the present row
        self._skipped = 0
        first = ""
        for first in lines:
            if first.strip():
                break
            self._skipped += 1
        self.delimiter = _delimiter(first, columns)
        if first.lower().startswith(_EXCEL_HINT) and len(first.strip("\r\n")) == 5:
            self.delimiter = first[4]
            self._skipped += 1
        else:
            lines = itertools.chain([first], lines)
        self._csv = csv.reader(self._bounded(lines), delimiter=self.delimiter, strict=True)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        while True:
            number = self._skipped + self._csv.line_num + 1
            self._size = 0
            try:
                cells = next(self._csv, None)
            except csv.Error as error:
                raise TabularError(
                    f"{self._name}, line {number}: {error}; check the quotes of this row"
                ) from error
            if cells is None:
                return
            if any(cell and not cell.isspace() for cell in cells):
                yield number, cells

    def _bounded(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._size += len(line)
            if self._size > MAX_LINE:
                raise csv.Error(f"longer than {MAX_LINE:,} characters; a quote may not be closed")
            yield line


def _delimiter(header: str, columns: Sequence[str]) -> str:
    """The delimiter with which the header has the most of the columns, else the most cells."""

    def score(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([header.rstrip("\r\n")], delimiter=delimiter), [])
        return len({cell.strip() for cell in cells} & set(columns)), len(cells)

    return max(DELIMITERS, key=score)


def _check_header(
    name: str, header: Sequence[str], columns: Sequence[str], required: Sequence[str]
) -> None:
    if missing := [column for column in required if column not in header]:
        raise missing_columns(name, missing, header)
    if twice := [column for column in columns if header.count(column) > 1]:
        raise TabularError(f"{name}: the header has the column {twice[0]!r} twice; remove one")


def missing_columns(name: str, missing: Sequence[str], found: Sequence[str]) -> TabularError:
    """The error of a file that lacks columns."""
    wanted = ", ".join(f'"{column}"' for column in missing)
    shown = ", ".join(repr(column)[:100] for column in found[:20]) or "none"
    return TabularError(
        f"{name}: expected {'a column' if len(missing) == 1 else 'columns'} {wanted}, "
        f"found {shown}; the first line names the columns"
    )
