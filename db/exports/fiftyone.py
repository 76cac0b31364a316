"""Exports as a FiftyOneImageClassificationDataset: pictures, and ``labels.json`` with their labels.

The format is that of ``fiftyone.types.FiftyOneImageClassificationDataset``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from db.exports.files import Exported, finish_folder
from db.exports.pictures import (
    FACTS,
    PictureFiles,
    labelled_rows,
    place,
    require_link_type,
    start_folder,
)
from db.exports.text_encoding import plain
from db.filters import Filter

LABELS = "labels.json"
# an attribute may not be called id, which FiftyOne gives itself
ATTRIBUTES = {
    name: "catalogue_id" if name == "id" else name
    for name in FACTS
    if name not in ("label", "confidence")
}


def export_fiftyone(
    engine: Engine, wanted: Filter, target: Path, *, link_type: str, files: PictureFiles
) -> tuple[Exported, int]:
    """Write ``data/`` with the pictures and ``labels.json`` with label, confidence and attributes.

    A person's label has no confidence: that of the row is the model's. Arguments, result and errors
    are those of `db.exports.folders.export_tree`; an interrupted export starts over.
    """
    require_link_type(link_type)
    partial, rows, missing = start_folder(target), 0, 0
    data = partial / "data"
    data.mkdir()
    with (
        (partial / LABELS).open("w", encoding="utf-8") as file,
        labelled_rows(engine, wanted) as (labels, found),
    ):
        number_of = {label: number for number, label in enumerate(labels)}
        # written as it is read: a catalogue may have millions of rows
        file.write(f'{{"classes": {json.dumps(labels, ensure_ascii=False)}, "labels": {{')
        for row in found:
            # labels are found by the name without its ending, which must therefore be unique
            name = f"{row['id']}{_ending(row['path'])}"
            if not place(row["path"], data / name, link_type, files):
                missing += 1
                continue
            entry = json.dumps(_entry(row, number_of), ensure_ascii=False)
            file.write(f'{"," if rows else ""}\n"{row["id"]}": {entry}')
            rows += 1
        file.write("\n}}\n")
    return finish_folder(target, rows), missing


def _entry(row: dict[str, Any], number_of: dict[str, int]) -> dict[str, Any]:
    entry: dict[str, Any] = {"label": number_of[row["label"]]}
    if row["human_label"] is None:
        entry["confidence"] = row["confidence"]
    entry["attributes"] = {
        attribute: plain(row[name])
        for name, attribute in ATTRIBUTES.items()
        if row[name] is not None
    }
    return entry


def _ending(path: str) -> str:
    """The ending of a path's name, such as ``.jpg``; empty if it has none that is short."""
    ending = Path(path.rpartition("/")[2]).suffix
    return ending if len(ending) <= 10 and ending.isascii() else ""
