"""Engines and transactions on SQLite, set up for many writers, and PostgreSQL.

SQLite runs in WAL mode (verified, because the pragma fails silently on some file systems) and with
foreign keys on. Every transaction that writes begins with BEGIN IMMEDIATE: after a deferred BEGIN,
a transaction that reads before it writes fails with "database is locked", whatever the busy
timeout.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from db.errors import DatabaseUnavailable, InvalidUrl, mapped
from db.postgresql import connect as postgresql
from rendering.secrets import ENCODE, is_unambiguous, mask_url

BUSY_TIMEOUT_SECONDS = 60.0
CACHE_KIB = 64_000  # page cache of each SQLite connection, at most
STEPS_PER_CHECK = 1000  # of SQLite's virtual machine, between looks at the clock
LOG_PAGES = 10_000  # of 4 KiB; at this size SQLite copies its log into the file


def parse_url(url: str) -> URL:
    """Parse ``sqlite:///file``, a file name, or ``postgresql://…``; the result names the driver.

    Raises:
        InvalidUrl: any other URL.
    """
    if "://" not in url and url:
        if mask_url(url) != url:  # user:password@host/database: a URL without its //
            raise InvalidUrl(_expected(None))
        url = f"sqlite:///{url}"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidUrl(_expected(None)) from None  # the cause may hold the password
    is_server = parsed.drivername.partition("+")[0] != "sqlite"
    # SQLAlchemy splits at the first @, and takes the rest of the password for the host
    if not is_unambiguous(url) or (is_server and url.partition("?")[0].count("@") > 1):
        raise InvalidUrl(_expected(None))
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if parsed.database in (None, "", ":memory:"):
            raise InvalidUrl("a catalogue in memory would be lost: use a file, sqlite:///FILE")
        return parsed
    raise InvalidUrl(_expected(mask_url(url)))


def _expected(url: str | None) -> str:
    """The message on an invalid URL; None: it cannot be parsed, and is not shown."""
    received = f"received {url!r}" if url else f"received one with ambiguous parts; {ENCODE}"
    return (
        "expected a catalogue URL such as sqlite:///catalogue.db or "
        f"postgresql://user@host/database, {received}"
    )


def make_engine(url: str) -> Engine:
    """An engine for the catalogue at `url`; it connects on first use.

    Create one per process, after any fork: connections do not survive a fork.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # pre-ping: after a server restart, reconnect instead of failing a shard
    engine = sa.create_engine(parsed, pool_pre_ping=True, connect_args=postgresql.CONNECT)
    event.listen(engine, "connect", lambda raw, _: postgresql.prepare(raw, shown(engine)))
    return engine


def shown(engine: Engine) -> str:
    """The engine's URL for messages, without user, password and other secrets."""
    return mask_url(engine.url.render_as_string(hide_password=False))


@contextmanager
def reading(engine: Engine, *, seconds: float | None = None) -> Iterator[Connection]:
    """A connection in a transaction that only reads: one consistent snapshot.

    Args:
        engine: The catalogue.
        seconds: The time limit: on SQLite of the transaction, on PostgreSQL of each statement, in
            whole milliseconds and at least one. None: the database's own.

    Raises:
        QueryTooSlow: the database stopped a statement at its time limit.
    """
    with mapped(shown(engine)), engine.connect() as connection, connection.begin():
        if seconds is None:
            yield connection
            return
        with _time_limit(connection, seconds):
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that writes; rolled back on an exception."""
    with mapped(shown(engine)), engine.connect() as connection:
        immediate = connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        with immediate.begin():
            if engine.dialect.name == "postgresql":
                postgresql.limit_idleness(connection)
            yield immediate


@contextmanager
def _time_limit(connection: Connection, seconds: float) -> Iterator[None]:
    """Have the database itself stop what runs past the limit, in this transaction only."""
    if connection.dialect.name == "postgresql":
        limit = str(max(1, round(seconds * 1000)))  # 0 would mean no limit
        connection.execute(sa.select(sa.func.set_config("statement_timeout", limit, True)))
        yield
        return
    raw: Any = connection.connection.driver_connection
    deadline = time.monotonic() + seconds
    raw.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_PER_CHECK)
    try:
        yield
    finally:  # the pool gives this connection to others
        raw.set_progress_handler(None, 0)


def _prepare_sqlite(raw: sqlite3.Connection, _record: Any) -> None:
    raw.isolation_level = None  # the driver begins no transactions; _begin_sqlite does
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA synchronous = NORMAL")
    # Keys and hashes are spread over their indexes. With SQLite's defaults (2 MB of cache, 4 MB of
    # log) writes to five million rows took 1.5 times as long (benchmarks/catalogue_writes).
    raw.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    raw.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        mode = _switch_to_wal(raw)
    if mode != "wal":
        file = raw.execute("PRAGMA database_list").fetchone()[2]
        raise DatabaseUnavailable(
            f"{Path(file)}: expected SQLite journal mode 'wal', the file system allowed {mode!r}; "
            "put the catalogue on a local disk, or use PostgreSQL"
        )


def _switch_to_wal(raw: sqlite3.Connection) -> str:
    """Switch the file to WAL, with retries: the busy timeout does not cover this statement."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            return str(raw.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    begin = connection.get_execution_options().get("sqlite_begin", "BEGIN")
    connection.exec_driver_sql(begin)
