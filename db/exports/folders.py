"""Exports as a labelled folder tree for ``train``.

Example: ``TARGET/shoes/female/sandals/12_name.jpg``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine import Engine

from db.errors import ExportError
from db.exports.files import (
    COLUMNS,
    FINAL_LABEL,
    Exported,
    batches,
    finish_folder,
    refuse_existing,
    require_file_name,
)
from db.filters import Filter
from rendering.output import partial_path

LINK_TYPES = ("symlink", "hardlink", "copy")
MAX_NAME_BYTES = 200  # file systems allow 255


def export_tree(
    engine: Engine,
    wanted: Filter,
    target: Path,
    *,
    link_type: str,
    locate: Callable[[str], str | None],
    read: Callable[[str], bytes | None],
) -> tuple[Exported, int]:
    """Link or copy the matching pictures into one folder per final label.

    An interrupted export (``TARGET.partial``) is resumed.

    Args:
        engine: The catalogue.
        wanted: Which rows; rows without a label are skipped.
        target: The new folder.
        link_type: One of `LINK_TYPES`.
        locate: The file of a catalogue path; None if it is missing or may not be opened.
        read: The bytes of such a file, for copies; None if it cannot be read.

    Returns:
        The result, and the number of pictures skipped because their file is missing or may not be
        opened.

    Raises:
        ExportError: `target` exists, or a label cannot be a folder name.
    """
    if link_type not in LINK_TYPES:
        raise ExportError(f"expected one of {', '.join(LINK_TYPES)}, received {link_type!r}")
    require_file_name(target, "a folder tree")
    refuse_existing(target)
    partial, rows, missing = partial_path(target), 0, 0
    partial.mkdir(parents=True, exist_ok=True)
    for batch in batches(engine, wanted):
        for values in batch:
            row = dict(zip(COLUMNS, values, strict=True))
            if row[FINAL_LABEL] is None:
                continue
            found = locate(row["path"])
            if found is None:
                missing += 1
                continue
            source = Path(found)
            folder = partial.joinpath(*_folder_names(row[FINAL_LABEL]))
            folder.mkdir(parents=True, exist_ok=True)
            if _place(source, folder / _file_name(row["id"], source), link_type, read):
                rows += 1
            else:
                missing += 1
    return finish_folder(target, rows), missing


def _folder_names(label: str) -> list[str]:
    names = label.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise ExportError(f"expected a label that can be a folder, received {label!r}")
    return names


def _file_name(row_id: int, source: Path) -> str:
    """A name unique to the row; a long one loses its beginning, not its extension."""
    name = os.fsencode(source.name)[-MAX_NAME_BYTES:]
    return f"{row_id}_{os.fsdecode(name)}"


def _place(source: Path, target: Path, link_type: str, read: Callable[[str], bytes | None]) -> bool:
    """Link or copy one picture; False if its bytes cannot be read."""
    if target.is_symlink() or target.exists():
        return True  # from an interrupted run
    if link_type == "copy":
        data = read(str(source))
        if data is None:
            return False
        temporary = target.with_name(f".{target.name}"[:250])
        temporary.write_bytes(data)
        temporary.replace(target)
    elif link_type == "hardlink":
        target.hardlink_to(source.resolve())
    else:
        target.symlink_to(source.absolute())
    return True
