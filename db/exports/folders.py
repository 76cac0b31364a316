"""Exports as a labelled folder tree for ``train``.

Example: ``TARGET/shoes/female/sandals/12_name.jpg``.
"""

from __future__ import annotations

import os
import shutil
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
    to_os_path: Callable[[str], str],
) -> tuple[Exported, int]:
    """Link or copy the matching pictures into one folder per final label.

    An interrupted export (``TARGET.partial``) is resumed.

    Args:
        engine: The catalogue.
        wanted: Which rows; rows without a label are skipped.
        target: The new folder.
        link_type: One of `LINK_TYPES`.
        to_os_path: Converts a catalogue path to a path of the file system.

    Returns:
        The result, and the number of pictures skipped because their file is missing.

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
            source = Path(to_os_path(row["path"]))
            if not source.is_file():
                missing += 1
                continue
            folder = partial.joinpath(*_folder_names(row[FINAL_LABEL]))
            folder.mkdir(parents=True, exist_ok=True)
            _place(source, folder / _file_name(row["id"], source), link_type)
            rows += 1
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


def _place(source: Path, target: Path, link_type: str) -> None:
    if target.is_symlink() or target.exists():
        return  # from an interrupted run
    if link_type == "copy":
        temporary = target.with_name(f".{target.name}"[:250])
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    elif link_type == "hardlink":
        target.hardlink_to(source)
    else:
        target.symlink_to(source.absolute())
