"""Lists of pictures with what the crawler knows of them: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from db.records import PendingRow
from worker.errors import InputError
from worker.paths import is_url
from worker.scan import state_of

COLUMNS = ("path", "url", "shop", "product_id")
PARQUET_ROWS = 10_000


def read_manifest(file: Path) -> Iterator[PendingRow]:
    """The rows of a manifest, one by one; a relative path starts at the manifest's folder.

    Raises:
        InputError: another kind of file, no column ``path``, or a row without one; with its number.
    """
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise InputError(f"{file}: expected a manifest in {', '.join(readers)}")
    folder = file.absolute().parent
    try:
        for number, record in enumerate(reader(file), 1):
            yield _row(record, folder, f"{file}, row {number}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error


def _row(record: Mapping[str, Any], folder: Path, where: str) -> PendingRow:
    path = record.get("path")
    if not isinstance(path, str) or not path:
        raise InputError(f'{where}: expected a text in the column "path", received {path!r}')
    if not is_url(path) and not path.startswith(("/", "file://")):
        path = str(folder / path)
    state = state_of(path)
    url, shop, product_id = (_known(record.get(name)) for name in COLUMNS[1:])
    return PendingRow(state.path, state.size, state.mtime, url, shop, product_id)


def _known(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _csv(file: Path) -> Iterator[Mapping[str, Any]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        if "path" not in (reader.fieldnames or ()):
            raise InputError(f'{file}: expected a column "path", found {reader.fieldnames}')
        yield from reader


def _json_lines(file: Path) -> Iterator[Mapping[str, Any]]:
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
            yield record


def _parquet(file: Path) -> Iterator[Mapping[str, Any]]:
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
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise InputError(f"{file}: cannot be read as Parquet: {error}") from error
