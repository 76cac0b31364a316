"""The catalogue as a stream of Arrow tables.

Each database has its fast way. PostgreSQL sends CSV (COPY), which Arrow parses outside of Python
while the server continues: no Python object per cell, and neither side waits. SQLite's driver
always creates Python objects; fetched a thousand rows at a time, they are still in the processor's
cache when Arrow converts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.exports.files import COLUMNS, EVERYTHING, Layout, export_query
from db.filters import Filter
from db.session import reading
from db.tables import catalogue
from db.writes.row_values import ROW_NAMES

ROWS_PER_TABLE = 30_000  # about 12 MB
ROWS_PER_FETCH = 1000
BYTES_PER_PARSE = 4_000_000


def pyarrow() -> Any:
    """The module, with its Parquet and CSV parts."""
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.parquet

    return pyarrow


def export_schema(columns: Sequence[str] = COLUMNS) -> Any:
    """The Arrow schema of exported columns."""
    arrow = pyarrow()
    arrow_types: dict[type, Any] = {
        sa.Integer: arrow.int64(),
        sa.Float: arrow.float64(),
        sa.Boolean: arrow.bool_(),
        sa.String: arrow.string(),
    }

    def arrow_type(name: str) -> Any:
        if name.endswith("_at"):
            return arrow.timestamp("us", "UTC")
        if name not in ROW_NAMES:
            return arrow.string()
        column = catalogue.c[name].type
        return next(type_ for base, type_ in arrow_types.items() if isinstance(column, base))

    return arrow.schema([(name, arrow_type(name)) for name in columns])


def to_table(batch: Sequence[Sequence[Any]], schema: Any) -> Any:
    """A batch of rows, with values of records or of a driver, as a table of `schema`."""
    columns = zip(*batch, strict=True)
    arrays = [_array(values, field.type) for field, values in zip(schema, columns, strict=True)]
    return pyarrow().Table.from_arrays(arrays, schema=schema)


def _array(values: Sequence[Any], arrow_type: Any) -> Any:
    arrow = pyarrow()
    first = next((value for value in values if value is not None), None)
    if arrow.types.is_boolean(arrow_type) and not isinstance(first, bool):  # 0 and 1 on SQLite
        return arrow.array(values, arrow.int8()).cast(arrow_type)
    if arrow.types.is_timestamp(arrow_type) and isinstance(first, str):
        text = arrow.array(values, arrow.string()).cast(arrow.timestamp("us"))
        return text.cast(arrow.int64()).cast(arrow_type)
    return arrow.array(values, arrow_type)


def tables(engine: Engine, wanted: Filter, layout: Layout = EVERYTHING) -> Iterator[Any]:
    """The matching rows in tables of about `ROWS_PER_TABLE`, from one snapshot."""
    arrow, columns = pyarrow(), export_schema(layout.columns)
    with reading(engine) as connection:
        query = export_query(connection, wanted, layout=layout)
        read = _copy if engine.dialect.name == "postgresql" else _fetch
        parts: list[Any] = []
        for part in read(connection, query, columns):
            parts.append(part)
            if sum(table.num_rows for table in parts) >= ROWS_PER_TABLE:
                yield arrow.concat_tables(parts)
                parts = []
        if parts:
            yield arrow.concat_tables(parts)


def _fetch(connection: Connection, query: sa.Select[Any], schema: Any) -> Iterator[Any]:
    """Read from SQLite: the driver's own tuples, with times as text."""
    with connection.execute(query) as result:
        while batch := result.cursor.fetchmany(ROWS_PER_FETCH):
            yield to_table(batch, schema)


def _copy(connection: Connection, query: sa.Select[Any], schema: Any) -> Iterator[Any]:
    """Read from PostgreSQL: the CSV of COPY, parsed some megabytes at a time."""
    import psycopg

    compiled = query.compile(connection, compile_kwargs={"render_postcompile": True})
    statement = f"COPY ({compiled}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')"
    connection.execute(sa.text("SET LOCAL TIME ZONE 'UTC'"))
    connection.execute(sa.text("SET LOCAL datestyle = 'ISO'"))
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement, compiled.params) as lines:
            for text in _blocks(lines):
                yield _parse_csv(text, schema)
    except psycopg.DatabaseError as error:  # as SQLAlchemy raises it for its own statements
        raise sa.exc.DBAPIError.instance("COPY", None, error, psycopg.Error) from error


def _blocks(lines: Iterable[memoryview]) -> Iterator[bytes]:
    """Complete lines, joined to blocks of about `BYTES_PER_PARSE`."""
    block, size = [], 0
    for line in lines:
        block.append(bytes(line))
        size += len(line)
        if size >= BYTES_PER_PARSE:
            yield b"".join(block)
            block, size = [], 0
    if block:
        yield b"".join(block)


def _parse_csv(text: bytes, schema: Any) -> Any:
    """Parse PostgreSQL's CSV: an unquoted empty value is NULL, "" is an empty text."""
    arrow = pyarrow()
    csv = arrow.csv
    return csv.read_csv(
        arrow.BufferReader(text),
        csv.ReadOptions(column_names=schema.names),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
