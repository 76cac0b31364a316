"""What exports with pictures share: the rows that have a label, and their files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.engine import Engine

from db.errors import ExportError
from db.exports.files import ROWS_PER_FETCH, export_query, refuse_existing, require_file_name
from db.filters import Filter, label_entries
from db.session import reading
from rendering.output import partial_path

LINK_TYPES = ("symlink", "hardlink", "copy")
MAX_NAME_BYTES = 200  # file systems allow 255
FLAT = "-"  # between the levels of a label where a format has one level; filters read it too
# what is known about each picture, in formats that keep more than a label
FACTS = (
    *("label", "confidence", "needs_review", "human_label", "model_label"),
    *("best_leaf", "best_leaf_confidence", "second_leaf", "second_leaf_confidence"),
    *("id", "crawl", "shop", "product_id", "url", "path", "content_hash", "model_version"),
)


class PictureFiles(Protocol):
    """The files of rows, by the path of a row."""

    def locate(self, path: str) -> str | None:
        """The file on this machine's disks; None if it is missing, or may not be opened."""

    def read(self, path: str) -> bytes | None:
        """The bytes of the picture; None if it is missing, or may not be opened."""


@contextmanager
def labelled_rows(
    engine: Engine, wanted: Filter
) -> Iterator[tuple[list[str], Iterator[dict[str, Any]]]]:
    """All labels of the registered taxonomies, and the matching rows that have a label.

    Both are from one snapshot. The labels are sorted, so that a label has the same number in each
    export until a model with other labels is registered.
    """
    with reading(engine) as connection:
        labels = [entry.label for entry in label_entries(connection)]
        streamed = connection.execution_options(yield_per=ROWS_PER_FETCH)
        with streamed.execute(export_query(connection, wanted)) as result:
            rows = (dict(row) for row in result.mappings())
            yield labels, (row for row in rows if row["label"] is not None)


def start_folder(target: Path) -> Path:
    """An empty folder under the temporary name of `target`.

    Raises:
        ExportError: `target` exists, or is a pipe or a device.
    """
    require_file_name(target, "a folder")
    refuse_existing(target)
    partial = partial_path(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def folder_names(label: str) -> list[str]:
    """The levels of a label as names of nested folders.

    Raises:
        ExportError: one cannot be a folder.
    """
    names = label.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise ExportError(f"expected a label that can be a folder, received {label!r}")
    return names


class FlatNames:
    """One name for each label, without folders: ``shoes-female-sandals``."""

    def __init__(self) -> None:
        self._label_of: dict[str, str] = {}

    def of(self, label: str) -> str:
        """The name of a label.

        Raises:
            ExportError: it cannot be a folder, or another label has the same name.
        """
        name = FLAT.join(folder_names(label))
        if (other := self._label_of.setdefault(name, label)) != label:
            raise ExportError(
                f"the labels {other!r} and {label!r} would both be {name!r}: export them one by "
                "one with --label"
            )
        return name


def file_name(row_id: int, path: str) -> str:
    """A name unique to the row; a long one loses its beginning, not its extension."""
    name = os.fsencode(path.rpartition("/")[2])[-MAX_NAME_BYTES:]
    return f"{row_id}_{os.fsdecode(name)}"


def place(path: str, target: Path, link_type: str, files: PictureFiles) -> bool:
    """Link or copy one picture; False if it is missing or may not be opened."""
    if target.is_symlink() or target.exists():
        return True  # from an interrupted run
    if link_type == "copy":
        data = files.read(path)
        if data is None:
            return False
        temporary = target.with_name(f".{target.name}"[:250])
        temporary.write_bytes(data)
        temporary.replace(target)
        return True
    found = files.locate(path)
    if found is None:
        return False
    source = Path(found)
    if link_type == "hardlink":
        target.hardlink_to(source.resolve())
    else:
        target.symlink_to(source.absolute())
    return True


def require_link_type(link_type: str) -> None:
    """Raise ExportError unless it is one of `LINK_TYPES`."""
    if link_type not in LINK_TYPES:
        raise ExportError(f"expected one of {', '.join(LINK_TYPES)}, received {link_type!r}")
