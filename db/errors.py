"""The errors of the catalogue, and the mapping of driver errors to them.

    CatalogueError
    ├── InvalidUrl            the catalogue URL names no supported database
    ├── DatabaseUnavailable   no answer, or unusable for now (exit code 4)
    ├── DatabaseRefuses       a right or a setting is missing; it stays so until it is given
    ├── DatabaseBusy          a lock was not released in time
    ├── QueryTooSlow          a query was stopped at its time limit
    ├── SchemaError           the tables are not the expected ones
    │   ├── SchemaMissing     there are no tables
    │   ├── SchemaTooOld      an earlier version made them: upgrade
    │   └── SchemaTooNew      a later version made them: upgrade the program
    ├── UnknownLabel          a label of no registered taxonomy
    ├── InvalidRecord         a value that the catalogue cannot store
    ├── ExportError           an export or import that is not possible as requested
    │   └── OutputFailed      its disk is full or fails: not wrong usage (exit code 1)
    └── InvalidQuery          an invalid order, grouping or page token

`mapped` converts those errors of SQLAlchemy and of the drivers that a user can fix. Any other is a
bug and keeps its type.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc

from db.postgresql.sqlstates import Kind, Refusal, refusal


class CatalogueError(Exception):
    """The base of all errors that a user can act on."""


class InvalidUrl(CatalogueError):
    """The catalogue URL names no supported database."""


class DatabaseUnavailable(CatalogueError):
    """The database does not answer, or cannot be used for now: the same again may succeed."""


class DatabaseRefuses(CatalogueError):
    """The database refuses, and will until somebody grants a right or changes a setting."""


class DatabaseBusy(CatalogueError):
    """The database answers, but a lock was not released in time."""


class QueryTooSlow(CatalogueError):
    """The database stopped a query at its time limit."""


class SchemaError(CatalogueError):
    """The tables are not the ones that this code expects."""


class SchemaMissing(SchemaError):
    """The database has no catalogue."""


class SchemaTooOld(SchemaError):
    """An earlier version of the program made these tables."""


class SchemaTooNew(SchemaError):
    """A later version of the program made these tables."""


class UnknownLabel(CatalogueError):
    """A label of no registered taxonomy."""


class InvalidRecord(CatalogueError):
    """A value that the catalogue cannot store."""


class InvalidQuery(CatalogueError):
    """An invalid order, grouping or page token."""


class ExportError(CatalogueError):
    """An export or import that is not possible as requested."""


class OutputFailed(ExportError):
    """The disk that an output is written to is full, or fails."""


_SERVER = (
    "check the host, port, user, password and database of the URL, that the server runs, and that "
    "it accepts this user from this host"
)
_FILE = "check the URL, and that its folder exists, is writable and has free disk space"


def _of_sqlite(error: sqlite3.Error) -> Refusal | None:
    # the error classes do not tell: SQLite's driver raises OperationalError for wrong SQL and
    # DatabaseError for a file that is no database
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in (sqlite3.SQLITE_CONSTRAINT_CHECK, sqlite3.SQLITE_CONSTRAINT_NOTNULL):
        return Refusal(Kind.VALUE)
    match code & 0xFF:
        case sqlite3.SQLITE_ERROR | sqlite3.SQLITE_CONSTRAINT:
            return None
        case sqlite3.SQLITE_INTERRUPT:
            return Refusal(Kind.TIME_LIMIT)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Refusal(Kind.BUSY)
    return Refusal(Kind.UNAVAILABLE, _FILE)


def _of_postgresql(error: sqlalchemy.exc.DatabaseError) -> Refusal | None:
    found = refusal(getattr(error.orig, "sqlstate", None), str(error.orig))
    if found is None and isinstance(error, sqlalchemy.exc.OperationalError):
        return Refusal(Kind.UNAVAILABLE)  # the driver's own: no server, a connection that broke
    return found


def _one_line(error: BaseException | None) -> str:
    """A driver's message as one line, without the row's values and repetition for each address."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    cause = primary or str(error).split("\nMultiple connection attempts failed", maxsplit=1)[0]
    return " ".join(cause.split())


def _translated(error: sqlalchemy.exc.DatabaseError, where: str) -> CatalogueError | None:
    """The error that says what to do; None for a bug."""
    found = (
        _of_sqlite(error.orig) if isinstance(error.orig, sqlite3.Error) else _of_postgresql(error)
    )
    if found is None:
        return None
    cause = _one_line(error.orig)
    match found.kind:
        case Kind.TIME_LIMIT:
            return QueryTooSlow(
                f"the catalogue {where} stopped a statement at its time limit; narrow the filter, "
                "for example to one crawl, or raise the database's statement_timeout"
            )
        case Kind.BUSY:
            return DatabaseBusy(
                f"the catalogue {where} is locked by another writer: {cause}; try again"
            )
        case Kind.VALUE:
            return InvalidRecord(
                f"the catalogue {where} refused a row: {cause}; nothing of this batch was stored"
            )
        case Kind.REFUSED:
            return DatabaseRefuses(
                f"the catalogue {where} refuses: {cause}; {found.advice or _SERVER}"
            )
        case Kind.UNAVAILABLE:
            return DatabaseUnavailable(
                f"the catalogue {where} cannot be used: {cause}; {found.advice or _SERVER}"
            )


@contextmanager
def mapped(where: str) -> Iterator[None]:
    """Convert driver errors inside the block; `where` is the URL for the message.

    Raises:
        DatabaseBusy: a lock was not released within the busy timeout, or a deadlock was broken.
        DatabaseUnavailable: the server cannot be reached, or cannot be used for now.
        DatabaseRefuses: the server refuses until a right is granted or a setting changed.
        InvalidRecord: a constraint of the tables refused a value.
        QueryTooSlow: the database stopped a statement at its time limit.
    """
    try:
        yield
    except sqlalchemy.exc.DatabaseError as error:
        translated = _translated(error, where)
        if translated is None:
            raise
        raise translated from error
