"""Exports as a Hugging Face data set: Parquet with the pictures' bytes, typed for `datasets`.

``datasets.load_dataset(TARGET)`` reads the folder as it is, and so does the Hub.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from db.exports.arrow import export_schema, pyarrow
from db.exports.files import Exported, finish_folder
from db.exports.pictures import FACTS, PictureFiles, file_name, labelled_rows, start_folder
from db.filters import Filter

BYTES_PER_FILE = 500_000_000  # the Hub's viewer wants files of less than a gigabyte
# a reader takes a row group at a time, with its pictures
BYTES_PER_GROUP = 16_000_000
ROWS_PER_GROUP = 1000
COLUMNS = tuple(name for name in FACTS if name != "label")
_DTYPES = {"double": "float64"}  # of Arrow and of `datasets`, where their names differ


def export_huggingface(
    engine: Engine, wanted: Filter, target: Path, *, files: PictureFiles
) -> tuple[Exported, int]:
    """Write ``data/train-NNNNN-of-NNNNN.parquet`` with the columns image, label and `COLUMNS`.

    `label` is a ClassLabel whose names are all labels of the registered taxonomies. Memory is that
    of a few row groups. Arguments, result and errors are those of
    `db.exports.folders.export_tree`; an interrupted export starts over.
    """
    partial = start_folder(target)
    data = partial / "data"
    data.mkdir()
    with labelled_rows(engine, wanted) as (labels, found):
        pictures = _Pictures(found, files)
        schema = picture_schema(labels)
        number_of = {label: number for number, label in enumerate(labels)}
        shards = _write(data, schema, _tables(pictures, schema, number_of))
    for number, shard in enumerate(shards):
        shard.rename(data / f"train-{number:05d}-of-{len(shards):05d}.parquet")
    return finish_folder(target, pictures.rows), pictures.missing


class _Pictures:
    """The rows with the bytes of their pictures; counts those that have none."""

    def __init__(self, found: Iterator[dict[str, Any]], files: PictureFiles) -> None:
        self._found, self._files = found, files
        self.rows = self.missing = 0

    def __iter__(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        for row in self._found:
            data = self._files.read(row["path"])
            if data is None:
                self.missing += 1
                continue
            self.rows += 1
            yield row, data


def picture_schema(labels: list[str]) -> Any:
    """The Arrow schema, with the features of `datasets` in its metadata."""
    arrow, typed = pyarrow(), export_schema(COLUMNS)
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    fields = [arrow.field("image", image), arrow.field("label", arrow.int64()), *typed]
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": labels, "_type": "ClassLabel"},
    }
    for field in typed:
        dtype = str(field.type)
        features[field.name] = {"dtype": _DTYPES.get(dtype, dtype), "_type": "Value"}
    about = json.dumps({"info": {"features": features}})
    return arrow.schema(fields, metadata={"huggingface": about})


def _tables(pictures: _Pictures, schema: Any, number_of: dict[str, int]) -> Iterator[Any]:
    """Tables of one row group each."""
    group: list[dict[str, Any]] = []
    size = 0
    for row, data in pictures:
        # a name, not a path of this machine
        image = {"bytes": data, "path": file_name(row["id"], row["path"])}
        values = {name: row[name] for name in COLUMNS}
        group.append({**values, "image": image, "label": number_of[row["label"]]})
        size += len(data)
        if size >= BYTES_PER_GROUP or len(group) >= ROWS_PER_GROUP:
            yield pyarrow().Table.from_pylist(group, schema=schema)
            group, size = [], 0
    if group:
        yield pyarrow().Table.from_pylist(group, schema=schema)


def _write(folder: Path, schema: Any, tables: Iterator[Any]) -> list[Path]:
    """Write the tables into files of about `BYTES_PER_FILE`; at least one, which may be empty."""
    shards: list[Path] = []
    table = next(tables, None)
    while table is not None or not shards:
        shards.append(folder / f"part-{len(shards)}.parquet")
        size = 0
        # pictures are compressed already
        with pyarrow().parquet.ParquetWriter(shards[-1], schema, compression="snappy") as writer:
            while table is not None and size < BYTES_PER_FILE:
                writer.write_table(table)
                size += table.nbytes
                table = next(tables, None)
    return shards
