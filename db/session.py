"""Engines and transactions: SQLite set up for many writers, PostgreSQL through psycopg 3.

SQLite runs in WAL mode (read back, because the pragma fails silently on some file systems), with
foreign keys on, and every transaction that writes begins with BEGIN IMMEDIATE: with a deferred
BEGIN a transaction that reads first and writes then fails with "database is locked" whatever the
busy timeout says.
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

BUSY_TIMEOUT_SECONDS = 60.0
CONNECT_TIMEOUT_SECONDS = 10
CACHE_KIB = 64_000  # of each SQLite connection, at most
LOG_PAGES = 10_000  # of 4 KiB, after which SQLite writes its log into the file


def parse_url(url: str) -> URL:
    """The URL with its driver: ``sqlite:///file``, a bare file name, or ``postgresql://…``.

    Raises:
        InvalidUrl: anything else.
    """
    if "://" not in url and url:
        url = f"sqlite:///{url}"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidUrl(_expected(url)) from error
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if parsed.database in (None, "", ":memory:"):
            raise InvalidUrl("a catalogue in memory would be lost: give a file, sqlite:///FILE")
        return parsed
    raise InvalidUrl(_expected(parsed.render_as_string(hide_password=True)))


def _expected(url: str) -> str:
    return (
        "expected a catalogue URL such as sqlite:///catalogue.db or "
        f"postgresql://user@host/database, received {url!r}"
    )


def make_engine(url: str) -> Engine:
    """An engine for the catalogue at `url`; it connects when it is first used.

    Make one for each process, after any fork: connections do not survive a fork.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return sa.create_engine(
        parsed,
        pool_pre_ping=True,  # a server that restarted costs one ping, not one shard
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
    )


def shown(engine: Engine) -> str:
    """The engine's URL for messages, without its password."""
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection inside a transaction that only reads: one consistent snapshot."""
    with mapped(shown(engine)), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection inside a transaction that writes; committed at the end, else rolled back."""
    with mapped(shown(engine)), engine.connect() as connection:
        immediate = connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        with immediate.begin():
            yield immediate


def _prepare_sqlite(raw: sqlite3.Connection, _record: Any) -> None:
    raw.isolation_level = None  # the driver begins nothing itself: _begin_sqlite does
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA synchronous = NORMAL")
    # keys and hashes fall anywhere in their indexes: with SQLite's own 2 MB of pages in memory and
    # 4 MB of log a write to five million rows took half as long again (benchmarks/catalogue_writes)
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
    """Switch the file to WAL. SQLite's busy timeout does not cover this one statement."""
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
