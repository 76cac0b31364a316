"""Parquet and Arrow: typed columns, streamed; needs the extra ``data`` (pyarrow)."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db.convert import ROW_NAMES
from db.errors import ExportError
from db.exports import COLUMNS, Exported, batches, finish_file, finish_folder
from db.filters import Filter
from db.models import catalogue, labels
from db.session import reading

# bounds the memory: 27 columns of Python objects a row until Arrow has them
ROWS_A_GROUP = 20_000
NO_CATEGORY = "none"


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ExportError("Parquet needs pyarrow: pip install 'fashion-cascade[data]'") from error
    return pyarrow


def schema() -> Any:
    """The Arrow schema of the exported columns."""
    arrow = _pyarrow()
    kinds: dict[type, Any] = {
        sa.Integer: arrow.int64(),
        sa.Float: arrow.float64(),
        sa.Boolean: arrow.bool_(),
        sa.String: arrow.string(),
    }

    def kind(name: str) -> Any:
        if name.endswith("_at"):
            return arrow.timestamp("us", "UTC")
        if name not in ROW_NAMES:
            return arrow.string()
        column = catalogue.c[name].type
        return next(made for generic, made in kinds.items() if isinstance(column, generic))

    return arrow.schema([(name, kind(name)) for name in COLUMNS])


def table_of(batch: Sequence[Sequence[Any]], target: Any) -> Any:
    """One batch of raw rows as an Arrow table of the schema `target`."""
    arrow = _pyarrow()
    arrays = []
    for field, column in zip(target, zip(*batch, strict=True), strict=True):
        values: list[Any] = list(column)
        if arrow.types.is_boolean(field.type):  # 0 and 1 on SQLite
            values = [None if value is None else bool(value) for value in values]
        if arrow.types.is_timestamp(field.type) and any(isinstance(v, str) for v in values):
            text = arrow.array(values, arrow.string()).cast(arrow.timestamp("us"))
            arrays.append(text.cast(arrow.int64()).cast(field.type))
            continue
        arrays.append(arrow.array(values, field.type))
    return arrow.Table.from_arrays(arrays, schema=target)


def arrow_table(engine: Engine, wanted: Filter) -> Any:
    """The rows that fit as one `pyarrow.Table`; ``.to_pandas()`` makes a pandas frame of it."""
    arrow, target = _pyarrow(), schema()
    tables = [table_of(b, target) for b in batches(engine, wanted, size=ROWS_A_GROUP, raw=True)]
    return arrow.concat_tables(tables) if tables else target.empty_table()


def write_records(
    records: Iterable[Mapping[str, Any]], columns: Sequence[str], sink: BinaryIO
) -> int:
    """Write `columns` of rows of the catalogue as one Parquet file to `sink`; how many rows.

    `sink` may be a pipe. Types are those of an export; memory is that of one row group.

    Raises:
        ExportError: pyarrow is not installed.
    """
    arrow, whole = _pyarrow(), schema()
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
    arrow, kinds = _pyarrow(), schema()
    partial, rows = Path(f"{target}.partial"), 0
    with arrow.parquet.ParquetWriter(partial, kinds, compression="zstd") as writer:
        for batch in batches(engine, wanted, size=ROWS_A_GROUP, raw=True):
            writer.write_table(table_of(batch, kinds))
            rows += len(batch)
    return finish_file(partial, target, rows)


def export_parquet_by_category(engine: Engine, wanted: Filter, target: Path) -> Exported:
    """Write a folder with a Parquet file for each category that counts (Hive partitions)."""
    arrow, kinds = _pyarrow(), schema()
    with reading(engine) as connection:
        query = sa.select(labels.c.label, labels.c.category)
        category_of = {row[0]: row[1] for row in connection.execute(query)}
    partial, rows = Path(f"{target}.partial"), 0
    shutil.rmtree(partial, ignore_errors=True)
    writers: dict[str, Any] = {}
    try:
        for batch in batches(engine, wanted, size=ROWS_A_GROUP, raw=True):
            apart: dict[str, list[Sequence[Any]]] = {}
            for row in batch:
                apart.setdefault(category_of.get(row[-1], NO_CATEGORY), []).append(row)
            for category, some in apart.items():
                if category not in writers:
                    folder = partial / f"final_category={_safe(category)}"
                    folder.mkdir(parents=True)
                    writers[category] = arrow.parquet.ParquetWriter(
                        folder / "part-0.parquet", kinds, compression="zstd"
                    )
                writers[category].write_table(table_of(some, kinds))
            rows += len(batch)
    finally:
        for writer in writers.values():
            writer.close()
    partial.mkdir(exist_ok=True)
    return finish_folder(partial, target, rows)


def _safe(category: str) -> str:
    """A category as part of a path: what could leave the folder is written as %XX."""
    return "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):02X}" for c in category)
