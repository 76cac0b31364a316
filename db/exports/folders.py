"""A labelled folder tree: ``TARGET/shoes/female/sandals/12_name.jpg``, ready for ``train``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine import Engine

from db.errors import ExportError
from db.exports.text import COLUMNS, Exported, batches, finish_folder
from db.filters import Filter

KINDS = ("symlink", "hardlink", "copy")
LONGEST_NAME = 200  # bytes; file systems allow 255


def export_tree(
    engine: Engine,
    wanted: Filter,
    target: Path,
    *,
    kind: str,
    to_os_path: Callable[[str], str],
) -> tuple[Exported, int]:
    """Lay the labelled pictures that fit out by the label that counts.

    A tree that was begun (``TARGET.partial``) is gone on with. Returns what was written, and how
    many pictures were left out because their file is not there any more.
    """
    if kind not in KINDS:
        raise ExportError(f"expected one of {', '.join(KINDS)}, received {kind!r}")
    if target.exists():
        raise ExportError(f"{target} exists: delete it, or export to another name")
    partial, rows, gone = Path(f"{target}.partial"), 0, 0
    partial.mkdir(parents=True, exist_ok=True)
    for batch in batches(engine, wanted):
        for values in batch:
            row = dict(zip(COLUMNS, values, strict=True))
            if row["final_label"] is None:
                continue
            source = Path(to_os_path(row["path"]))
            if not source.is_file():
                gone += 1
                continue
            folder = partial.joinpath(*_parts(row["final_label"]))
            folder.mkdir(parents=True, exist_ok=True)
            _place(source, folder / _name(row["id"], source), kind)
            rows += 1
    return finish_folder(partial, target, rows), gone


def _parts(label: str) -> list[str]:
    parts = label.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ExportError(f"expected a label that can be a folder, received {label!r}")
    return parts


def _name(row_id: int, source: Path) -> str:
    """A name of its own for each row; the end is kept, for it holds the file's kind."""
    name = os.fsencode(source.name)[-LONGEST_NAME:]
    return f"{row_id}_{os.fsdecode(name)}"


def _place(source: Path, target: Path, kind: str) -> None:
    if target.is_symlink() or target.exists():
        return  # from a run before this one
    if kind == "copy":
        temporary = target.with_name(f".{target.name}"[:250])
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    elif kind == "hardlink":
        target.hardlink_to(source)
    else:
        target.symlink_to(source.absolute())
