"""The errors of the catalogue, and the mapping of driver errors to them.

    CatalogueError
    ├── InvalidUrl            the catalogue URL names no supported database
    ├── DatabaseUnavailable   no answer, or access refused (exit code 4)
    ├── DatabaseBusy          a lock was not released in time
    ├── QueryTooSlow          a query was stopped at its time limit
    ├── SchemaError           the tables are not the expected ones
    │   ├── SchemaMissing     there are no tables
    │   ├── SchemaTooOld      an earlier version made them: upgrade
    │   └── SchemaTooNew      a later version made them: upgrade the program
    ├── UnknownLabel          a label of no registered taxonomy
    ├── InvalidRecord         a value that the catalogue cannot store
    ├── ExportError           an export or import that is not possible as requested
    └── InvalidQuery          an invalid order, grouping or page token

`mapped` converts those errors of SQLAlchemy and of the drivers that a user can fix. Any other is a
bug and keeps its type.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc


class CatalogueError(Exception):
    """The base of all errors that a user can act on."""


class InvalidUrl(CatalogueError):
    """The catalogue URL names no supported database."""


class DatabaseUnavailable(CatalogueError):
    """The database does not answer, or refuses access."""


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


_BUSY = ("database is locked", "deadlock detected", "lock timeout", "database table is locked")


def _is_time_limit(error: sqlalchemy.exc.DatabaseError) -> bool:
    """Whether the database stopped the statement: interrupted, or `query_canceled`."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
    return getattr(error.orig, "sqlstate", None) == "57014"


def _is_outage(error: sqlalchemy.exc.DatabaseError) -> bool:
    """Whether the database is unusable, as opposed to one statement being wrong."""
    if isinstance(error.orig, sqlite3.Error):
        # the error classes do not tell: SQLite's driver raises OperationalError for wrong SQL and
        # DatabaseError for a file that is no database
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        return code not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)
    return isinstance(error, sqlalchemy.exc.OperationalError)


def _one_line(cause: str) -> str:
    """A driver's message as one line, without psycopg's repetition for each address."""
    return " ".join(cause.split("\nMultiple connection attempts failed", maxsplit=1)[0].split())


def _hint(where: str) -> str:
    if where.startswith("sqlite"):
        return "check the URL, and that its folder exists, is writable and has free disk space"
    return (
        "check the host, port, user, password and database of the URL, that the server runs, and "
        "that it accepts this user from this host"
    )


@contextmanager
def mapped(where: str) -> Iterator[None]:
    """Convert driver errors inside the block; `where` is the URL for the message.

    Raises:
        DatabaseBusy: a lock was not released within the busy timeout, or a deadlock was broken.
        DatabaseUnavailable: the server cannot be reached, or the file cannot be opened.
        QueryTooSlow: the database stopped a statement at its time limit.
    """
    try:
        yield
    except sqlalchemy.exc.DatabaseError as error:
        if _is_time_limit(error):
            raise QueryTooSlow(
                f"the catalogue {where} stopped a statement at its time limit; narrow the filter, "
                "for example to one crawl, or raise the database's statement_timeout"
            ) from error
        if not _is_outage(error):
            raise
        cause = str(error.orig).strip()
        if any(text in cause for text in _BUSY):
            raise DatabaseBusy(
                f"the catalogue {where} is locked by another writer: {cause}; try again"
            ) from error
        raise DatabaseUnavailable(
            f"the catalogue {where} cannot be used: {_one_line(cause)}; {_hint(where)}"
        ) from error
