"""What can go wrong with the catalogue.

    CatalogueError
    ├── InvalidUrl            the catalogue URL names no database that is supported
    ├── DatabaseUnavailable   nothing answers there, or it refuses us (exit code 4)
    ├── DatabaseBusy          it answers, but a lock was not had in time
    ├── SchemaError           the tables are not those that this code expects
    │   ├── SchemaMissing     there are none
    │   ├── SchemaTooOld      an earlier version made them: upgrade
    │   └── SchemaTooNew      a later version made them: upgrade the program
    ├── UnknownLabel          a label that stands in no registered taxonomy
    ├── InvalidRecord         a value that the catalogue cannot hold
    ├── ExportError           an export or import that cannot be done, or not as asked
    └── InvalidQuery          a question that it cannot answer: an order or a page token

Errors of SQLAlchemy and of the drivers do not leave this room: `mapped` turns those that a user
can do something about into the ones above; what is left is a bug and keeps its own type.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc


class CatalogueError(Exception):
    """Anything about the catalogue that a user can read and act on."""


class InvalidUrl(CatalogueError):
    """The catalogue URL names no database that is supported."""


class DatabaseUnavailable(CatalogueError):
    """Nothing answers at the catalogue's URL, or it refuses us."""


class DatabaseBusy(CatalogueError):
    """The database answers, but a lock was not had in time."""


class SchemaError(CatalogueError):
    """The tables are not those that this code expects."""


class SchemaMissing(SchemaError):
    """The database holds no catalogue."""


class SchemaTooOld(SchemaError):
    """An earlier version of the program made these tables."""


class SchemaTooNew(SchemaError):
    """A later version of the program made these tables."""


class UnknownLabel(CatalogueError):
    """A label that stands in no registered taxonomy."""


class InvalidRecord(CatalogueError):
    """A value that the catalogue cannot hold."""


class InvalidQuery(CatalogueError):
    """A question that the catalogue cannot answer."""


class ExportError(CatalogueError):
    """An export or import that cannot be done, or not as asked."""


_BUSY = ("database is locked", "deadlock detected", "lock timeout", "database table is locked")


def _of_the_place(error: sqlalchemy.exc.DatabaseError) -> bool:
    """Whether the database as a whole is in trouble, rather than one statement being wrong."""
    if isinstance(error.orig, sqlite3.Error):
        # wrong SQL is an OperationalError in SQLite's driver, and no file is a DatabaseError
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        return code not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)
    return isinstance(error, sqlalchemy.exc.OperationalError)


def _one_line(cause: str) -> str:
    """A driver's message as one line; psycopg repeats it for each address that it tried."""
    return " ".join(cause.split("\nMultiple connection attempts failed", maxsplit=1)[0].split())


def _hint(where: str) -> str:
    if where.startswith("sqlite"):
        return (
            "check that the URL is right, and that the folder is there and writable and its "
            "disk not full"
        )
    return (
        "check the host, port, user, password and database of the URL, that the server runs, and "
        "that it lets this user in from here"
    )


@contextmanager
def mapped(where: str) -> Iterator[None]:
    """Turn driver errors inside the block into this module's; `where` is the URL to name.

    Raises:
        DatabaseBusy: a lock was not had within the busy timeout, or a deadlock was broken.
        DatabaseUnavailable: the server cannot be reached, or the file cannot be opened.
    """
    try:
        yield
    except sqlalchemy.exc.DatabaseError as error:
        if not _of_the_place(error):
            raise
        cause = str(error.orig).strip()
        if any(text in cause for text in _BUSY):
            raise DatabaseBusy(
                f"the catalogue {where} stayed locked by another writer: {cause}; try again"
            ) from error
        raise DatabaseUnavailable(
            f"the catalogue {where} cannot be used: {_one_line(cause)}; {_hint(where)}"
        ) from error
