"""Bulk inserts, upserts and updates, by the fastest way of each database.

PostgreSQL receives one array per column and unnests them: one statement, so a statement-level
trigger runs once. The arrays are rendered as text here, because psycopg checks each element with a
regular expression. SQLite receives executemany with tuples, because SQLAlchemy's own way (a
dictionary and a chain of calls per row) took longer than the write itself. On both, a value that
needs conversion (a time, a boolean) is converted once for consecutive rows that share it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect

from db.chunks import chunks

Rows = Sequence[Mapping[str, Any]]
Names = tuple[str, ...]
UNCONVERTED = (sa.Boolean, sa.LargeBinary)  # SQLite's driver accepts bool and bytes
# well under the bound parameters of one statement: SQLite 32,766, PostgreSQL 65,535
KEYS_PER_STATEMENT = 5000


def insert(connection: Connection, table: sa.Table, rows: Rows) -> None:
    """Insert `rows`, all with the same keys; existing rows stay unchanged."""
    if rows:
        names = tuple(rows[0])
        statement = _insert_statement(connection.dialect.name, table, names)
        _execute(connection, table, statement.on_conflict_do_nothing(), rows)


def upsert(
    connection: Connection,
    table: sa.Table,
    rows: Rows,
    *,
    key: Sequence[str],
    keep: Sequence[str] = (),
) -> None:
    """Insert `rows`, all with the same columns; existing rows take the new values.

    Args:
        connection: Inside a transaction that writes.
        table: The table.
        rows: Column values. No key may occur twice: PostgreSQL refuses that (error 21000), while
            SQLite would hide it.
        key: The columns that identify a row.
        keep: Columns to write only when the row is new.
    """
    if rows:
        names = tuple(rows[0])
        replaced = tuple(name for name in names if name not in key and name not in keep)
        statement = _upsert_statement(connection.dialect.name, table, names, tuple(key), replaced)
        _execute(connection, table, statement, rows)


def update(connection: Connection, table: sa.Table, rows: Rows) -> None:
    """Update the rows identified by `id` with the other values; all with the same columns."""
    if rows:
        statement = _update_statement(connection.dialect.name, table, tuple(rows[0]))
        _execute(connection, table, statement, rows)


def update_all(
    connection: Connection, table: sa.Table, ids: Iterable[int], values: Mapping[str, Any]
) -> None:
    """Update all rows of `ids` with the same values."""
    for chunk in chunks(ids, KEYS_PER_STATEMENT):
        connection.execute(sa.update(table).where(table.c.id.in_(chunk)).values(dict(values)))


# Statements are cached: building one took longer than its share of writing a batch.


@functools.lru_cache(maxsize=64)
def _insert_statement(dialect: str, table: sa.Table, names: Names) -> Any:
    if dialect == "postgresql":
        return postgresql.insert(table).from_select(list(names), _unnest(table, names))
    return sqlite.insert(table).values({name: sa.bindparam(name) for name in names})


@functools.lru_cache(maxsize=64)
def _upsert_statement(
    dialect: str, table: sa.Table, names: Names, key: Names, replaced: Names
) -> Any:
    statement = _insert_statement(dialect, table, names)
    new_values = {name: statement.excluded[name] for name in replaced}
    return statement.on_conflict_do_update(index_elements=list(key), set_=new_values)


@functools.lru_cache(maxsize=64)
def _update_statement(dialect: str, table: sa.Table, names: Names) -> Any:
    others = [name for name in names if name != "id"]
    if dialect == "postgresql":
        source = _unnest(table, names).subquery("source")
        statement = sa.update(table).where(table.c.id == source.c.id)
        return statement.values({name: source.c[name] for name in others})
    bound = {name: sa.bindparam(f"_{name}", type_=table.c[name].type) for name in names}
    statement = sa.update(table).where(table.c.id == bound["id"])
    return statement.values({name: bound[name] for name in others})


def _unnest(table: sa.Table, names: Names) -> sa.Select[Any]:
    """A SELECT of rows from one array parameter per column; parameter names begin with `_`."""
    arrays = [
        sa.cast(sa.bindparam(f"_{name}", type_=sa.Text), postgresql.ARRAY(table.c[name].type))
        for name in names
    ]
    columns = [sa.column(name, table.c[name].type) for name in names]
    source = sa.func.unnest(*arrays).table_valued(*columns, name="source").render_derived()
    return sa.select(*source.c)


def _execute(connection: Connection, table: sa.Table, statement: Any, rows: Rows) -> None:
    dialect = connection.dialect
    if dialect.name == "postgresql":
        arrays = {
            f"_{name}": array_literal([row[name] for row in rows], table.c[name].type, dialect)
            for name in rows[0]
        }
        connection.execute(statement, arrays)
        return
    text, names = _compiled(statement, dialect)
    columns = []
    for name in names:
        column_type, values = table.c[name].type, [row[name] for row in rows]
        convert = column_type.dialect_impl(dialect).bind_processor(dialect)
        if convert is not None and not isinstance(column_type, UNCONVERTED):
            values = _convert_each(convert, values)
        columns.append(values)
    connection.exec_driver_sql(text, list(zip(*columns, strict=True)))


@functools.lru_cache(maxsize=64)
def _compiled(statement: Any, dialect: Dialect) -> tuple[str, Names]:
    """The SQL for SQLite, and the column of each question mark in it."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), tuple(name.removeprefix("_") for name in compiled.positiontup)


def _convert_each(convert: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """`convert` of each value, called once for consecutive occurrences of the same object."""
    last, converted, results = object(), None, []
    for value in values:
        if value is not last:
            last, converted = value, convert(value)
        results.append(converted)
    return results


def array_literal(values: Sequence[Any], column_type: Any, dialect: Dialect) -> str:
    """`values` as the text of a PostgreSQL array.

    Raises:
        TypeError: a value that is not None, str, number, bool, bytes, datetime or dict.
    """
    if isinstance(column_type, sa.types.TypeDecorator):
        values = _convert_each(lambda value: column_type.process_bind_param(value, dialect), values)
    return "{" + ",".join(_convert_each(_element, values)) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_ELEMENTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda value: "NULL",
    str: _quoted,
    bool: lambda value: "t" if value else "f",
    float: float.__repr__,
    int: int.__repr__,
    bytes: lambda value: f'"\\\\x{value.hex()}"',
    datetime: lambda value: f'"{value.isoformat()}"',
    dict: lambda value: _quoted(json.dumps(value)),
}


def _element(value: Any) -> str:
    render = _ELEMENTS.get(type(value))
    if render is None:  # a subclass, such as numpy.float64 of float
        bases = (base for base in _ELEMENTS if isinstance(value, base))
        render = _ELEMENTS.get(next(bases, object))
    if render is None:
        raise TypeError(f"expected a value for a column, received {value!r}")
    return render(value)
