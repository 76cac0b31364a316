"""Rows of a Parquet file. A few hundred bytes can stand for gigabytes, so sizes are checked first.

Texts stay dictionaries of their distinct values until their whole size is known to be small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tabular.csv_rows import missing_columns
from tabular.errors import TabularError
from tabular.values import MAX_VALUE

MAGIC = b"PAR1"
BATCH_ROWS = 10_000
MAX_BATCH = 64 << 20  # bytes of text in a batch
MAX_RATIO = 200  # of a column's size to its compressed size, above MAX_BATCH


def parquet_rows(
    file: Path, columns: Sequence[str], required: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, values) of each row; see `tabular.read.read_rows`."""
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        schema = parquet.read_schema(file)
        names = [name for name in columns if name in schema.names]
        if missing := [name for name in required if name not in names]:
            raise missing_columns(str(file), missing, schema.names)
        texts = [name for name in names if _is_text(file, schema, name)]
        with parquet.ParquetFile(file, read_dictionary=texts) as opened:
            _check_columns(file, opened.metadata, names)
            for batch in opened.iter_batches(batch_size=BATCH_ROWS, columns=names):
                _check_texts(file, number, batch, texts)
                values = [batch.column(batch.schema.get_field_index(n)).to_pylist() for n in names]
                for row in zip(*values, strict=True):
                    number += 1
                    yield f"{file}, row {number}", dict(zip(names, row, strict=True))
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:300]
        raise TabularError(f"{file}: cannot be read as Parquet: {reason}") from error


def _is_text(file: Path, schema: Any, name: str) -> bool:
    """Whether a column holds texts; one of lists or objects is refused."""
    from pyarrow import types

    if schema.names.count(name) > 1:
        raise TabularError(f"{file}: the column {name!r} is there twice; remove one")
    kind = schema.field(name).type
    if types.is_nested(kind):
        raise TabularError(f"{file}: {name}: expected one value in each row, received {kind}")
    return any(
        check(kind)
        for check in (
            types.is_string,
            types.is_large_string,
            types.is_binary,
            types.is_large_binary,
        )
    )


def _check_columns(file: Path, metadata: Any, names: Sequence[str]) -> None:
    """Refuse a column that unpacks to far more than its bytes."""
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            size, packed = column.total_uncompressed_size, column.total_compressed_size
            if column.path_in_schema in names and size > max(MAX_BATCH, MAX_RATIO * packed):
                raise TabularError(
                    f"{file}: {column.path_in_schema}: {packed:,} bytes unpack to {size:,}, the "
                    f"limit is {MAX_RATIO} times as much"
                )


def _check_texts(file: Path, before: int, batch: Any, texts: Sequence[str]) -> None:
    """Refuse a batch of rows whose texts are too long, alone or together."""
    from pyarrow import compute

    total = 0
    rows = f"{file}, rows {before + 1:,} to {before + batch.num_rows:,}"
    for name in texts:
        column = batch.column(batch.schema.get_field_index(name))
        lengths = compute.binary_length(column.dictionary)
        longest = compute.max(lengths).as_py() or 0
        if longest > 4 * MAX_VALUE:  # bytes; the characters are counted later
            raise TabularError(f"{rows}: {name}: a value of {longest:,} bytes is too long")
        total += compute.sum(lengths.take(column.indices)).as_py() or 0
        if total > MAX_BATCH:
            raise TabularError(f"{rows}: {total:,} bytes of text, the limit is {MAX_BATCH:,}")
