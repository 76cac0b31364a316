"""Exports as Parquet with typed columns, streamed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy.engine import Engine

from db.chunks import chunks
from db.exports.arrow import export_schema, pyarrow, tables, to_table
from db.exports.files import (
    EVERYTHING,
    FINAL_LABEL,
    Exported,
    HashingSink,
    Layout,
    export_sink,
    exported,
    finish_folder,
    require_file_name,
)
from db.filters import Filter, label_entries
from db.session import reading
from rendering.output import partial_path

# bounds the memory: a row is dozens of columns of Python objects until Arrow converts it
ROWS_PER_GROUP = 20_000
NO_CATEGORY = "none"
# columns with few distinct values, worth a dictionary
REPEATED = frozenset(
    "crawl shop status reason label model_label human_label final_label best_leaf second_leaf "
    "category gender type model_version backend backend_digest".split()
)


def arrow_table(engine: Engine, wanted: Filter) -> Any:
    """The matching rows as one `pyarrow.Table`, which has ``.to_pandas()``."""
    found = list(tables(engine, wanted))
    return pyarrow().concat_tables(found) if found else export_schema().empty_table()


def write_records(
    records: Iterable[Mapping[str, Any]], columns: Sequence[str], sink: BinaryIO
) -> int:
    """Write some columns of catalogue rows as one Parquet file; return the number of rows.

    Memory is that of one row group.

    Args:
        records: Rows by column name.
        columns: Names out of the exported columns, with the same types, or of columns of text.
        sink: A binary file; may be a pipe.
    """
    arrow, known = pyarrow(), export_schema()
    fields = [
        known.field(name) if name in known.names else arrow.field(name, arrow.string())
        for name in columns
    ]
    schema = arrow.schema(fields)
    rows = 0
    with arrow.parquet.ParquetWriter(HashingSink(sink), schema, compression="zstd") as writer:
        for group in chunks(records, ROWS_PER_GROUP):
            writer.write_table(to_table([[row[n] for n in columns] for row in group], schema))
            rows += len(group)
    return rows


def export_parquet(
    engine: Engine, wanted: Filter, target: Path, layout: Layout = EVERYTHING
) -> Exported:
    """Write the matching rows as one Parquet file."""
    rows = 0
    with export_sink(target) as sink:
        with _writer(sink, layout) as writer:
            for table in tables(engine, wanted, layout):
                writer.write_table(table)
                rows += table.num_rows
        checksum = sink.sha256()
    return exported(target, rows, checksum)


def _writer(file: HashingSink | Path, layout: Layout = EVERYTHING) -> Any:
    # For unique values such as paths or hashes, the writer would try a dictionary on every page
    # before giving it up.
    schema = export_schema(layout.columns)
    repeated = [name for name in schema.names if name in REPEATED]
    return pyarrow().parquet.ParquetWriter(
        file, schema, compression="zstd", use_dictionary=repeated
    )


def export_parquet_by_category(engine: Engine, wanted: Filter, target: Path) -> Exported:
    """Write a folder with one Parquet file per final category (Hive partitions)."""
    require_file_name(target, "a folder")
    with reading(engine) as connection:
        category_of = {entry.label: entry.category for entry in label_entries(connection)}
    partial, rows = partial_path(target), 0
    shutil.rmtree(partial, ignore_errors=True)
    writers: dict[str, Any] = {}
    try:
        for table in tables(engine, wanted):
            for category, part in _by_category(table, category_of):
                if category not in writers:
                    folder = partial / f"final_category={_escaped(category)}"
                    folder.mkdir(parents=True)
                    writers[category] = _writer(folder / "part-0.parquet")
                writers[category].write_table(part)
            rows += table.num_rows
    finally:
        for writer in writers.values():
            writer.close()
    partial.mkdir(exist_ok=True)
    return finish_folder(target, rows)


def _by_category(table: Any, category_of: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Split `table` by the category of the final label."""
    arrow = pyarrow()
    encoded = table[FINAL_LABEL].combine_chunks().dictionary_encode()
    categories = [category_of.get(label, NO_CATEGORY) for label in encoded.dictionary.to_pylist()]
    # a row without a label has no index into the dictionary
    indices = encoded.indices.fill_null(len(categories)).to_numpy()
    category = arrow.array([*categories, NO_CATEGORY]).take(arrow.array(indices))
    for name in sorted(set(category.unique().to_pylist())):
        yield name, table.filter(arrow.compute.equal(category, name))


def _escaped(category: str) -> str:
    """A category as a folder name; characters other than letters, digits, - and _ as %XX."""
    return "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):02X}" for c in category)
