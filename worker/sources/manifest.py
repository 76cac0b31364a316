"""Read lists of pictures with metadata of the crawler: CSV, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from db.records import PendingRow
from tabular.errors import TabularError
from tabular.read import read_rows
from tabular.values import text_of
from worker.errors import InputError
from worker.sources.paths import is_url, to_os_path
from worker.sources.scan import file_state

COLUMNS = ("path", "url", "shop", "product_id")
METADATA = COLUMNS[1:]
ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")


def read_crawl_manifest(file: Path, encoding: str | None = None) -> Iterator[PendingRow]:
    """Yield the rows of a manifest; a relative path starts at the folder of the manifest.

    Raises:
        InputError: an unknown format, no column ``path``, or a row that cannot be read.
    """
    if file.suffix.lower() not in ENDINGS:
        raise InputError(f"{file}: expected a manifest in {', '.join(ENDINGS)}")
    folder = file.absolute().parent
    try:
        for place, values in read_rows(file, COLUMNS, ["path"], encoding=encoding):
            path = values.get("path")
            if not isinstance(path, str) or not path:
                raise InputError(
                    f'{place}: expected a text in the column "path", received {path!r}'
                )
            try:
                metadata = [text_of(values.get(name)) for name in METADATA]
                os_path = path if is_url(path) else to_os_path(path)
                absolute = os_path[0] == "/" or is_url(path)
                state = file_state(os_path if absolute else str(folder / os_path))
            except ValueError as error:  # also UnicodeEncodeError: half of a surrogate pair
                raise InputError(f"{place}: {error}") from error
            yield PendingRow(state.path, state.size, state.mtime, *metadata)
    except TabularError as error:
        raise InputError(str(error)) from error
