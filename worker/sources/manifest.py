"""Read lists of pictures with metadata of the crawler: CSV, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from db.records import PendingRow
from tabular.errors import TabularError
from tabular.read import read_rows
from tabular.values import text_of
from worker.errors import InputError
from worker.sources.feeds import absolute_store, is_feed, read_feed
from worker.sources.paths import is_url, to_os_path
from worker.sources.scan import Source, file_state
from worker.sources.shops import Shops

COLUMNS = ("path", "url", "shop", "product_id")
METADATA = COLUMNS[1:]
ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".jl", ".ndjson", ".parquet")


def manifest_source(
    file: Path,
    *,
    crawl: str | None = None,
    store: str | None = None,
    roots: Sequence[str] = (),
    encoding: str | None = None,
    shops: Shops | None = None,
) -> Source:
    """The source of a manifest, or of a feed of Scrapy with its pictures in `store`.

    The crawl is named after the file. A feed's paths must be in its store, a manifest's in `roots`.
    """
    _check_ending(file)
    name = crawl or file.stem
    if store is None and not is_feed(file, encoding):
        own = tuple(str(Path(root).absolute()) for root in roots)
        return Source(name, own, shops=shops, listed=lambda _: read_crawl_manifest(file, encoding))
    where = absolute_store(store, file)
    return Source(name, (where,), shops=shops, listed=lambda _: read_feed(file, where, encoding))


def _check_ending(file: Path) -> None:
    if file.suffix.lower() not in ENDINGS:
        raise InputError(f"{file}: expected a manifest in {', '.join(ENDINGS)}")


def read_crawl_manifest(file: Path, encoding: str | None = None) -> Iterator[PendingRow]:
    """Yield the rows of a manifest; a relative path starts at the folder of the manifest.

    Raises:
        InputError: an unknown format, no column ``path``, or a row that cannot be read.
    """
    _check_ending(file)
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
