"""Exports as folders of pictures: a labelled tree for ``train``, and ImageFolder.

Examples: ``TARGET/shoes/female/sandals/12_name.jpg``; in ImageFolder, which has one level,
``TARGET/shoes-female-sandals/12_name.jpg``.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import Engine

from db.exports.files import Exported, finish_folder, refuse_existing, require_file_name
from db.exports.pictures import (
    FACTS,
    FlatNames,
    PictureFiles,
    file_name,
    folder_names,
    labelled_rows,
    place,
    require_link_type,
    start_folder,
)
from db.exports.text_encoding import to_cell
from db.filters import Filter
from rendering.csv_lines import csv_line_writer
from rendering.output import partial_path

METADATA = "metadata.csv"  # the name that Hugging Face `datasets` looks for


def export_tree(
    engine: Engine, wanted: Filter, target: Path, *, link_type: str, files: PictureFiles
) -> tuple[Exported, int]:
    """Link or copy the matching pictures into one folder per label, nested as the labels are.

    An interrupted export (``TARGET.partial``) is resumed.

    Args:
        engine: The catalogue.
        wanted: Which rows; rows without a label are skipped.
        target: The new folder.
        link_type: One of `LINK_TYPES`.
        files: The files of the rows.

    Returns:
        The result, and the number of pictures skipped because their file is missing or may not be
        opened.

    Raises:
        ExportError: `target` exists, or a label cannot be a folder name.
    """
    require_link_type(link_type)
    require_file_name(target, "a folder tree")
    refuse_existing(target)
    partial, rows, missing = partial_path(target), 0, 0
    partial.mkdir(parents=True, exist_ok=True)
    with labelled_rows(engine, wanted) as (_, found):
        for row in found:
            folder = partial.joinpath(*folder_names(row["label"]))
            folder.mkdir(parents=True, exist_ok=True)
            if place(row["path"], folder / file_name(row["id"], row["path"]), link_type, files):
                rows += 1
            else:
                missing += 1
    return finish_folder(target, rows), missing


def export_imagefolder(
    engine: Engine, wanted: Filter, target: Path, *, link_type: str, files: PictureFiles
) -> tuple[Exported, int]:
    """Write an ImageFolder, as torchvision, Keras and Hugging Face `datasets` read it.

    One folder per label, ``-`` between its levels, and `METADATA` with the columns `FACTS`.
    Arguments, result and errors are those of `export_tree`; an interrupted export starts over.
    """
    require_link_type(link_type)
    partial, rows, missing, names = start_folder(target), 0, 0, FlatNames()
    with (
        (partial / METADATA).open("wb") as table,
        labelled_rows(engine, wanted) as (_, found),
    ):
        write_row = csv_line_writer(lambda line: table.write(line.encode()))
        write_row(("file_name", *FACTS))
        for row in found:
            folder = partial / names.of(row["label"])
            folder.mkdir(exist_ok=True)
            file = folder / file_name(row["id"], row["path"])
            if not place(row["path"], file, link_type, files):
                missing += 1
                continue
            rows += 1
            write_row([f"{folder.name}/{file.name}", *(to_cell(row[name]) for name in FACTS)])
    return finish_folder(target, rows), missing
