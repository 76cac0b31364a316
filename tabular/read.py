"""Read a file of rows, the same for every command: CSV, JSON lines, a JSON array or Parquet.

The format is found by content. Each fault is a `TabularError` of one line with file and line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabular.csv_rows import csv_rows
from tabular.errors import TabularError
from tabular.json_rows import array_rows, line_rows
from tabular.lines import text_lines
from tabular.parquet_rows import MAGIC, parquet_rows
from tabular.values import scalar

Row = tuple[str, dict[str, Any]]
_JSON_ENDINGS = (".json", ".jsonl", ".jl", ".ndjson")


def read_rows(
    file: Path,
    columns: Sequence[str],
    required: Sequence[str],
    *,
    encoding: str | None = None,
    whole_rows: bool = False,
    from_cell: Callable[[str], str] | None = None,
    nested: Collection[str] = (),
) -> Iterator[Row]:
    """Yield (place, values) of each row: ``crawl.csv, line 3`` and the values by column.

    Values are those of `tabular.values.scalar`; an empty cell of a CSV is None. Rows without any
    value are skipped. A column that the file lacks is not in the values.

    Args:
        columns: the columns to read; others are ignored.
        required: the ones that the file must have.
        encoding: see `tabular.lines.text_lines`.
        whole_rows: refuse CSV rows with fewer cells than the header; else they end in empty cells.
        from_cell: decodes the text of a CSV cell.
        nested: columns whose values may be lists and objects of JSON; they are not checked.

    Raises:
        TabularError: the file cannot be read.
    """
    try:
        if _begin(file).startswith(MAGIC) or file.suffix.lower() == ".parquet":
            found = parquet_rows(file, columns, required)
        else:
            found = _text_rows(
                file,
                columns,
                required,
                encoding=encoding,
                whole_rows=whole_rows,
                from_cell=from_cell,
            )
        for place, values in found:
            yield place, _checked(place, values, nested)
    except OSError as error:
        raise TabularError(f"{file}: cannot be read: {error.strerror or error}") from error


def _begin(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(len(MAGIC))


def _text_rows(
    file: Path,
    columns: Sequence[str],
    required: Sequence[str],
    *,
    encoding: str | None,
    whole_rows: bool,
    from_cell: Callable[[str], str] | None,
) -> Iterator[Row]:
    name = str(file)
    with file.open("rb") as stream:
        first = next((line for line in text_lines(stream, name, encoding) if line.strip()), "")
        stream.seek(0)
        lines = text_lines(stream, name, encoding)
        begin = first.lstrip()[:1]
        if begin == "[":
            yield from array_rows(lines, name, columns)
        elif begin == "{" or file.suffix.lower() in _JSON_ENDINGS:
            yield from line_rows(lines, name, columns)
        else:
            yield from csv_rows(
                lines, name, columns, required, whole_rows=whole_rows, from_cell=from_cell
            )


def _checked(place: str, values: Mapping[str, Any], nested: Collection[str]) -> dict[str, Any]:
    checked = {}
    for name, value in values.items():
        try:
            checked[name] = value if name in nested else scalar(value)
        except ValueError as error:
            raise TabularError(f"{place}: {name}: {error}") from error
    return checked
