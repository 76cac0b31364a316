"""Many rows in one statement, the fast way of each database.

PostgreSQL takes one array a column and unnests them: one statement, and so one run of a
statement-level trigger. The arrays are written as text here, since psycopg looks at each element
with a regular expression. SQLite takes executemany with tuples; going by SQLAlchemy's own way for
many rows, with a dictionary and a chain of calls for each, took longer than the writing. Both make
a value of another form (a time, a truth) once where rows in a run share it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect

Rows = Sequence[Mapping[str, Any]]
Names = tuple[str, ...]
AS_THEY_ARE = (sa.Boolean, sa.LargeBinary)  # SQLite's driver takes a bool, and bytes


def insert(connection: Connection, table: sa.Table, rows: Rows) -> None:
    """Insert `rows`, all with the same keys; a row that is there already is left as it is."""
    if rows:
        names = tuple(rows[0])
        made = _inserting(connection.dialect.name, table, names)
        _execute(connection, table, made.on_conflict_do_nothing(), rows)


def upsert(
    connection: Connection,
    table: sa.Table,
    rows: Rows,
    *,
    key: Sequence[str],
    keep: Sequence[str] = (),
) -> None:
    """Insert `rows`, all with the same keys; one that is there by `key` takes the new values.

    Columns in `keep` are written when the row is new, and left alone otherwise. No key may stand
    twice in `rows`: PostgreSQL refuses that (error 21000), SQLite would hide it.
    """
    if rows:
        names = tuple(rows[0])
        fresh = tuple(name for name in names if name not in key and name not in keep)
        made = _upserting(connection.dialect.name, table, names, tuple(key), fresh)
        _execute(connection, table, made, rows)


def update(connection: Connection, table: sa.Table, rows: Rows) -> None:
    """Give the rows named by `id` their other values; all with the same keys."""
    if rows:
        made = _updating(connection.dialect.name, table, tuple(rows[0]))
        _execute(connection, table, made, rows)


# Statements are built once: that took longer than their part of writing a batch of rows.


@functools.lru_cache(maxsize=64)
def _inserting(dialect: str, table: sa.Table, names: Names) -> Any:
    if dialect == "postgresql":
        return postgresql.insert(table).from_select(list(names), _unnest(table, names))
    return sqlite.insert(table).values({name: sa.bindparam(name) for name in names})


@functools.lru_cache(maxsize=64)
def _upserting(dialect: str, table: sa.Table, names: Names, key: Names, fresh: Names) -> Any:
    statement = _inserting(dialect, table, names)
    taken = {name: statement.excluded[name] for name in fresh}
    return statement.on_conflict_do_update(index_elements=list(key), set_=taken)


@functools.lru_cache(maxsize=64)
def _updating(dialect: str, table: sa.Table, names: Names) -> Any:
    others = [name for name in names if name != "id"]
    if dialect == "postgresql":
        source = _unnest(table, names).subquery("source")
        statement = sa.update(table).where(table.c.id == source.c.id)
        return statement.values({name: source.c[name] for name in others})
    bound = {name: sa.bindparam(f"_{name}", type_=table.c[name].type) for name in names}
    statement = sa.update(table).where(table.c.id == bound["id"])
    return statement.values({name: bound[name] for name in others})


def _unnest(table: sa.Table, names: Names) -> sa.Select[Any]:
    """A SELECT of rows out of one array parameter a column, each named after it with a _."""
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
            f"_{name}": array([row[name] for row in rows], table.c[name].type, dialect)
            for name in rows[0]
        }
        connection.execute(statement, arrays)
        return
    text, names = _compiled(statement, dialect)
    columns = []
    for name in names:
        kind, values = table.c[name].type, [row[name] for row in rows]
        process = kind.dialect_impl(dialect).bind_processor(dialect)
        if process is not None and not isinstance(kind, AS_THEY_ARE):
            values = each(process, values)
        columns.append(values)
    connection.exec_driver_sql(text, list(zip(*columns, strict=True)))


@functools.lru_cache(maxsize=64)
def _compiled(statement: Any, dialect: Dialect) -> tuple[str, Names]:
    """SQLite's text with question marks, and the columns that they stand for."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), tuple(name.removeprefix("_") for name in compiled.positiontup)


def each(process: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """`process` of each value; worked out once for a run of the same object."""
    last, done, made = object(), None, []
    for value in values:
        if value is not last:
            last, done = value, process(value)
        made.append(done)
    return made


def array(values: Sequence[Any], kind: Any, dialect: Dialect) -> str:
    """`values` of the SQL type `kind` as the text of a PostgreSQL array.

    Raises:
        TypeError: a value of another type than None, text, number, truth, bytes, time or object.
    """
    if isinstance(kind, sa.types.TypeDecorator):
        values = each(lambda value: kind.process_bind_param(value, dialect), values)
    return "{" + ",".join(each(_element, values)) + "}"


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
    make = _ELEMENTS.get(type(value))
    if make is None:  # such as a number of numpy's that is a float as well
        kinds = (kind for kind in _ELEMENTS if isinstance(value, kind))
        make = _ELEMENTS.get(next(kinds, object))
    if make is None:
        raise TypeError(f"expected a value for a column, received {value!r}")
    return make(value)
