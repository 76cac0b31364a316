"""Exports as CVAT's ImageNet 1.0: a zip archive with one folder of pictures per label."""

from __future__ import annotations

import zipfile
from pathlib import Path

from sqlalchemy.engine import Engine

from db.exports.files import Exported, export_sink, exported
from db.exports.pictures import FlatNames, PictureFiles, file_name, labelled_rows
from db.filters import Filter

_DAY = (1980, 1, 1, 0, 0, 0)  # zip's first: the same pictures give the same archive


def export_cvat(
    engine: Engine, wanted: Filter, target: Path, *, files: PictureFiles
) -> tuple[Exported, int]:
    """Write a zip archive of ``LABEL/ID_NAME``, ``-`` between the levels of a label.

    Pictures are stored as they are. Arguments, result and errors are those of
    `db.exports.folders.export_tree`; an interrupted export starts over.
    """
    rows, missing, names = 0, 0, FlatNames()
    with export_sink(target) as sink:
        with (
            zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive,  # type: ignore[call-overload]
            labelled_rows(engine, wanted) as (_, found),
        ):
            for row in found:
                data = files.read(row["path"])
                if data is None:
                    missing += 1
                    continue
                name = file_name(row["id"], row["path"]).encode(errors="replace").decode()
                member = zipfile.ZipInfo(f"{names.of(row['label'])}/{name}", _DAY)
                archive.writestr(member, data)
                rows += 1
        checksum = sink.sha256()
    return exported(target, rows, checksum), missing
