"""What all exports share: the columns, the rows, and finishing a file or folder.

An export is written under a temporary name (``TARGET.partial``) and renamed when it is complete.
Beside it, ``TARGET.sha256`` can be checked with ``sha256sum -c``. An export to a pipe or a device
is written through and has no checksum file (`rendering.output`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.errors import ExportError
from db.filters import Filter, conditions
from db.index_pages import crawl_id_range
from db.session import reading
from db.tables import catalogue
from db.writes.row_values import ROW_NAMES
from rendering.output import file_behind, is_stream, open_output, partial_path

FINAL_LABEL = "final_label"  # the former name of `label`, kept for one release
COLUMNS = (*ROW_NAMES, FINAL_LABEL)
# what a person looks at; the default of a spreadsheet
MAIN_COLUMNS = (
    *("path", "shop", "status", "label", "confidence", "needs_review", "human_label"),
    *("best_leaf", "best_leaf_confidence", "second_leaf", "second_leaf_confidence", "reason"),
    *("crawl", "product_id", "url", "model_version", "labelled_at"),
)
ORDERS = ("id", "label")
ROWS_PER_FETCH = 5000


@dataclass(frozen=True)
class Layout:
    """The columns of an export, out of `COLUMNS`, and the order of its rows, one of `ORDERS`.

    In order of label, rows without one come last. Such an export is not resumed.
    """

    columns: tuple[str, ...] = COLUMNS
    order_by: str = "id"

    def __post_init__(self) -> None:
        unknown = [name for name in self.columns if name not in COLUMNS]
        if unknown or not self.columns or len(set(self.columns)) < len(self.columns):
            raise ExportError(
                f"expected different columns out of {', '.join(COLUMNS)}, received "
                f"{','.join(self.columns)!r}"
            )
        if self.order_by not in ORDERS:
            raise ExportError(
                f"expected the order {' or '.join(ORDERS)}, received {self.order_by!r}"
            )


EVERYTHING = Layout()


@dataclass(frozen=True)
class Exported:
    """The result of an export: the number of rows and the checksum of the file or folder."""

    target: str
    rows: int
    sha256: str


def export_query(
    connection: Connection, wanted: Filter, after: int = 0, layout: Layout = EVERYTHING
) -> sa.Select[Any]:
    """The columns of matching rows with ids above `after`, in the order of `layout`."""
    ids = crawl_id_range(connection, wanted).after(after, descending=False)
    columns = [
        catalogue.c.label.label(FINAL_LABEL) if name == FINAL_LABEL else catalogue.c[name]
        for name in layout.columns
    ]
    rows = sa.select(*columns).where(*conditions(connection, wanted), *ids.conditions())
    if layout.order_by == "label":
        return rows.order_by(catalogue.c.label.is_(None), catalogue.c.label, catalogue.c.id)
    return rows.order_by(catalogue.c.id)


def batches(
    engine: Engine, wanted: Filter, after: int = 0, layout: Layout = EVERYTHING
) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows of `export_query` in batches of `ROWS_PER_FETCH`, from one snapshot."""
    with reading(engine) as connection:
        streamed = connection.execution_options(yield_per=ROWS_PER_FETCH)
        with streamed.execute(export_query(connection, wanted, after, layout)) as result:
            yield from result.partitions()


class HashingSink:
    """A binary file that hashes and counts its bytes: a pipe has no position and no content."""

    closed = False

    def __init__(self, sink: BinaryIO) -> None:
        self._sink, self._offset, self._hash = sink, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._sink.write(data)
        self._hash.update(data)
        self._offset += len(data)
        return len(data)

    def tell(self) -> int:
        return self._offset

    def flush(self) -> None:
        self._sink.flush()

    def sha256(self) -> str:
        """The checksum of what was written, in hexadecimal digits."""
        return self._hash.hexdigest()


@contextmanager
def export_sink(target: Path) -> Iterator[HashingSink]:
    """Open a file, a pipe or a device for an export that is written in one go."""
    with open_output(target) as binary:
        yield HashingSink(binary)


def exported(target: Path, rows: int, checksum: str) -> Exported:
    """The result of a complete export; a file gets its checksum file."""
    if not is_stream(target):
        _write_checksum(target, checksum)
    return Exported(str(target), rows, checksum)


def finish_file(target: Path, rows: int, *leftovers: Path) -> Exported:
    """Rename a complete file to `target`, write its checksum and delete `leftovers`."""
    real = file_behind(target)
    partial_path(target).replace(real)
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return exported(target, rows, sha256_of(real))


def require_file_name(target: Path, what: str) -> None:
    """Raise ExportError if the target is a pipe or a device."""
    if is_stream(target):
        raise ExportError(f"{what} cannot be written to {target}: name a file or folder")


def finish_folder(target: Path, rows: int) -> Exported:
    """Rename a complete folder to `target`, which must not exist, and write its checksum."""
    refuse_existing(target)
    partial_path(target).replace(file_behind(target))
    checksum = sha256_of(target)
    _write_text(Path(f"{target}.sha256"), f"{checksum}  {target.name} (names and checksums)\n")
    return Exported(str(target), rows, checksum)


def refuse_existing(target: Path) -> None:
    """Raise ExportError if the target folder exists."""
    if target.exists():
        raise ExportError(f"{target} exists: delete it, or export to another name")


def _write_checksum(target: Path, checksum: str) -> None:
    """Write the line for ``sha256sum -c``; a leading backslash marks an escaped name."""
    name, mark = target.name, ""
    if "\n" in name or "\r" in name:
        mark = "\\"
        for plain_text, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r")):
            name = name.replace(plain_text, escaped)
    _write_text(Path(f"{target}.sha256"), f"{mark}{checksum}  {name}\n")


def _write_text(target: Path, text: str) -> None:
    with open_output(target) as file:
        file.write(os.fsencode(text))


def sha256_of(target: Path) -> str:
    """The checksum of a file, or of a folder's sorted file names and checksums."""
    if target.is_file():
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    total = hashlib.sha256()
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        total.update(os.fsencode(f"{sha256_of(path)}  {path.relative_to(target)}\n"))
    return total.hexdigest()
