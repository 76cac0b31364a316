"""Parquet and Arrow: typed columns, streamed; needs the extra ``data`` (pyarrow)."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db.exports.arrow import pyarrow, schema, table_of, tables
from db.exports.text import FINAL_LABEL, Exported, finish_file, finish_folder
from db.filters import Filter
from db.session import reading
from db.tables import labels

# bounds the memory: 27 columns of Python objects a row until Arrow has them
ROWS_A_GROUP = 20_000
NO_CATEGORY = "none"
REPEATED = frozenset(
    "crawl shop status reason label best_leaf category gender type model_version human_label "
    "final_label".split()
)


def arrow_table(engine: Engine, wanted: Filter) -> Any:
    """The rows that fit as one `pyarrow.Table`; ``.to_pandas()`` makes a pandas frame of it."""
    found = list(tables(engine, wanted))
    return pyarrow().concat_tables(found) if found else schema().empty_table()


def write_records(
    records: Iterable[Mapping[str, Any]], columns: Sequence[str], sink: BinaryIO
) -> int:
    """Write `columns` of rows of the catalogue as one Parquet file to `sink`; how many rows.

    `sink` may be a pipe. Types are those of an export; memory is that of one row group.

    Raises:
        ExportError: pyarrow is not installed.
    """
    arrow, whole = pyarrow(), schema()
    kinds = arrow.schema([whole.field(name) for name in columns])
    iterator, number = iter(records), 0
    with arrow.parquet.ParquetWriter(_Sink(sink), kinds, compression="zstd") as writer:
        while some := list(itertools.islice(iterator, ROWS_A_GROUP)):
            writer.write_table(table_of([[row[n] for n in columns] for row in some], kinds))
            number += len(some)
    return number


class _Sink:
    """A binary file that counts what is written: Arrow asks where it stands, a pipe cannot say."""

    closed = False

    def __init__(self, sink: BinaryIO) -> None:
        self._sink, self._offset = sink, 0

    def write(self, data: bytes) -> int:
        self._sink.write(data)
        self._offset += len(data)
        return len(data)

    def tell(self) -> int:
        return self._offset

    def flush(self) -> None:
        self._sink.flush()


def export_parquet(engine: Engine, wanted: Filter, target: Path) -> Exported:
    """Write one Parquet file."""
    partial, rows = Path(f"{target}.partial"), 0
    with _writer(partial) as writer:
        for table in tables(engine, wanted):
            writer.write_table(table)
            rows += table.num_rows
    return finish_file(partial, target, rows)


def _writer(file: Path) -> Any:
    # a dictionary of paths or hashes, each of which stands there once, is given up only after it
    # has been tried on every page
    few = [name for name in schema().names if name in REPEATED]
    return pyarrow().parquet.ParquetWriter(file, schema(), compression="zstd", use_dictionary=few)


def export_parquet_by_category(engine: Engine, wanted: Filter, target: Path) -> Exported:
    """Write a folder with a Parquet file for each category that counts (Hive partitions)."""
    with reading(engine) as connection:
        query = sa.select(labels.c.label, labels.c.category)
        category_of = {row[0]: row[1] for row in connection.execute(query)}
    partial, rows = Path(f"{target}.partial"), 0
    shutil.rmtree(partial, ignore_errors=True)
    writers: dict[str, Any] = {}
    try:
        for table in tables(engine, wanted):
            for category, some in _by_category(table, category_of):
                if category not in writers:
                    folder = partial / f"final_category={_safe(category)}"
                    folder.mkdir(parents=True)
                    writers[category] = _writer(folder / "part-0.parquet")
                writers[category].write_table(some)
            rows += table.num_rows
    finally:
        for writer in writers.values():
            writer.close()
    partial.mkdir(exist_ok=True)
    return finish_folder(partial, target, rows)


def _by_category(table: Any, category_of: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """The rows of `table` by the category of the label that counts."""
    arrow = pyarrow()
    found = table[FINAL_LABEL].combine_chunks().dictionary_encode()
    named = [category_of.get(label, NO_CATEGORY) for label in found.dictionary.to_pylist()]
    # a row without a label has no index into the dictionary
    where = found.indices.fill_null(len(named)).to_numpy()
    category = arrow.array([*named, NO_CATEGORY]).take(arrow.array(where))
    for name in sorted(set(category.unique().to_pylist())):
        yield name, table.filter(arrow.compute.equal(category, name))


def _safe(category: str) -> str:
    """A category as part of a path: what could leave the folder is written as %XX."""
    return "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):02X}" for c in category)
