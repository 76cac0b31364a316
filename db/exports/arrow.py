"""The catalogue as Arrow tables, streamed; needs the extra ``data`` (pyarrow).

Each database has its fast way. PostgreSQL writes CSV itself (COPY), which Arrow parses outside of
Python while the server goes on: no Python object a cell, and nobody waits for the other. SQLite's
driver makes Python objects whatever one does; fetched a thousand rows at a time they are still in
the processor's cache when Arrow takes them over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.errors import ExportError
from db.exports.text import COLUMNS, question
from db.filters import Filter
from db.session import reading
from db.tables import catalogue
from db.writes.row_values import ROW_NAMES

ROWS_A_TABLE = 30_000  # some 12 MB
ROWS_A_FETCH = 1000
BYTES_A_PARSE = 4_000_000


def pyarrow() -> Any:
    """The module, with its Parquet and CSV parts. Raises ExportError where it is not installed."""
    try:
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise ExportError("Parquet needs pyarrow: pip install 'fashion-cascade[data]'") from error
    return pyarrow


def schema() -> Any:
    """The Arrow schema of the exported columns."""
    arrow = pyarrow()
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
    """One batch of rows, as records or as a driver has them, as a table of the schema `target`."""
    columns = zip(*batch, strict=True)
    arrays = [_array(values, field.type) for field, values in zip(target, columns, strict=True)]
    return pyarrow().Table.from_arrays(arrays, schema=target)


def _array(values: Sequence[Any], kind: Any) -> Any:
    arrow = pyarrow()
    first = next((value for value in values if value is not None), None)
    if arrow.types.is_boolean(kind) and not isinstance(first, bool):  # 0 and 1 on SQLite
        return arrow.array(values, arrow.int8()).cast(kind)
    if arrow.types.is_timestamp(kind) and isinstance(first, str):
        text = arrow.array(values, arrow.string()).cast(arrow.timestamp("us"))
        return text.cast(arrow.int64()).cast(kind)
    return arrow.array(values, kind)


def tables(engine: Engine, wanted: Filter) -> Iterator[Any]:
    """The rows that fit in order of id, as tables of about `ROWS_A_TABLE` rows, one snapshot."""
    arrow, target = pyarrow(), schema()
    with reading(engine) as connection:
        query = question(connection, wanted)
        pieces = _copied if engine.dialect.name == "postgresql" else _fetched
        some: list[Any] = []
        for piece in pieces(connection, query, target):
            some.append(piece)
            if sum(table.num_rows for table in some) >= ROWS_A_TABLE:
                yield arrow.concat_tables(some)
                some = []
        if some:
            yield arrow.concat_tables(some)


def _fetched(connection: Connection, query: sa.Select[Any], target: Any) -> Iterator[Any]:
    """SQLite: the driver's own tuples, times as text."""
    with connection.execute(query) as result:
        while batch := result.cursor.fetchmany(ROWS_A_FETCH):
            yield table_of(batch, target)


def _copied(connection: Connection, query: sa.Select[Any], target: Any) -> Iterator[Any]:
    """PostgreSQL: what COPY sends, parsed some megabytes at a time."""
    import psycopg

    compiled = query.compile(connection, compile_kwargs={"render_postcompile": True})
    statement = f"COPY ({compiled}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')"
    connection.execute(sa.text("SET LOCAL TIME ZONE 'UTC'"))
    connection.execute(sa.text("SET LOCAL datestyle = 'ISO'"))
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement, compiled.params) as lines:
            for text in _blocks(lines):
                yield _parsed(text, target)
    except psycopg.OperationalError as error:  # as SQLAlchemy reports those of its own statements
        raise sa.exc.OperationalError("COPY", None, error) from error


def _blocks(lines: Iterable[memoryview]) -> Iterator[bytes]:
    """Whole lines, joined to blocks of `BYTES_A_PARSE`."""
    some, size = [], 0
    for line in lines:
        some.append(bytes(line))
        size += len(line)
        if size >= BYTES_A_PARSE:
            yield b"".join(some)
            some, size = [], 0
    if some:
        yield b"".join(some)


def _parsed(text: bytes, target: Any) -> Any:
    """PostgreSQL's CSV: nothing between two commas is NULL, "" is an empty text."""
    arrow = pyarrow()
    csv = arrow.csv
    return csv.read_csv(
        arrow.BufferReader(text),
        csv.ReadOptions(column_names=target.names),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=target,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
