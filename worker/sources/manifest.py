"""Read lists of pictures with metadata of the crawler: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from db.records import PendingRow
from worker.errors import InputError
from worker.sources.paths import is_url, to_os_path
from worker.sources.scan import file_state

COLUMNS = ("path", "url", "shop", "product_id")
PARQUET_ROWS = 10_000


def read_crawl_manifest(file: Path) -> Iterator[PendingRow]:
    """Yield the rows of a manifest; a relative path starts at the folder of the manifest.

    Raises:
        InputError: an unknown format, no column ``path``, or a row without a path.
    """
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise InputError(f"{file}: expected a manifest in {', '.join(readers)}")
    folder = file.absolute().parent
    try:
        for number, (path, *metadata) in enumerate(reader(file), 1):
            if not isinstance(path, str) or not path:
                place = f"{file}, row {number}"
                raise InputError(
                    f'{place}: expected a text in the column "path", received {path!r}'
                )
            os_path = path if is_url(path) else to_os_path(path)
            absolute = os_path[0] == "/" or is_url(path)
            state = file_state(os_path if absolute else str(folder / os_path))
            yield PendingRow(state.path, state.size, state.mtime, *map(_text_or_none, metadata))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error


def _text_or_none(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _csv(file: Path) -> Iterator[Sequence[Any]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        names = next(reader, [])
        if "path" not in names:
            raise InputError(f'{file}: expected a column "path", found {names}')
        width = len(names)  # index of an empty value, for columns that the file lacks
        chosen = itemgetter(*(names.index(n) if n in names else width for n in COLUMNS))
        for row in reader:
            if row:
                del row[width:]
                row.extend([""] * (width + 1 - len(row)))
                yield chosen(row)


def _json_lines(file: Path) -> Iterator[Sequence[Any]]:
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise InputError(f"{file}, line {number}: expected JSON: {error}") from error
            if not isinstance(record, dict):
                raise InputError(f"{file}, line {number}: expected an object, received {record!r}")
            yield [record.get(name) for name in COLUMNS]


def _parquet(file: Path) -> Iterator[Sequence[Any]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            f"{file}: reading Parquet needs pyarrow: pip install 'fashion-cascade[data]'"
        ) from error
    import pyarrow

    try:
        with parquet.ParquetFile(file) as opened:
            names = [name for name in COLUMNS if name in opened.schema_arrow.names]
            if "path" not in names:
                raise InputError(
                    f'{file}: expected a column "path", found {opened.schema_arrow.names}'
                )
            for batch in opened.iter_batches(batch_size=PARQUET_ROWS, columns=names):
                absent = [None] * batch.num_rows
                yield from zip(
                    *(batch[n].to_pylist() if n in names else absent for n in COLUMNS), strict=True
                )
    except pyarrow.ArrowException as error:
        raise InputError(f"{file}: cannot be read as Parquet: {error}") from error
