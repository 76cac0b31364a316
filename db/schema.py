"""Creating, upgrading and downgrading the schema; refusing an unknown version.

The migrations are part of the package (``db/migrations``). They run in one transaction on both
databases, so an interrupted upgrade changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.errors import SchemaMissing, SchemaTooNew, SchemaTooOld
from db.session import parse_url, reading, shown, writing

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x66617368  # 'fash': one upgrade at a time on a PostgreSQL server


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the packaged migrations, bound to `connection`."""
    from alembic.config import Config

    config = Config()
    # Alembic stores options in a ConfigParser, in which % must be escaped
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest known revision."""
    return known()[0]


def known() -> list[str]:
    """The known revisions, newest first."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(alembic_config())
    return [revision.revision for revision in script.walk_revisions()]


def current(connection: Connection) -> str | None:
    """The revision of the database; None if it has no catalogue."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def require_current(engine: Engine) -> None:
    """Raise unless the schema is the newest one.

    Raises:
        SchemaMissing, SchemaTooOld, SchemaTooNew: the message says what to do.
    """
    require_file(engine)
    with reading(engine) as connection:
        found = current(connection)
    revisions = known()
    if found == revisions[0]:
        return
    if found is None:
        raise _missing(engine)
    if found in revisions:
        raise SchemaTooOld(
            f"the catalogue {shown(engine)} has schema {found}, but this version needs "
            f"{revisions[0]}: back it up, then run: fashion-cascade db upgrade"
        )
    raise _too_new(engine, found, revisions[0])


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Upgrade the schema to `revision`. Safe to call from several processes at once.

    Raises:
        SchemaTooNew: a later version of the program made the database.
    """
    from alembic import command

    with _migrating(engine) as (connection, found, newest):
        if found != newest or revision != "head":
            command.upgrade(alembic_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Downgrade the schema to `revision` ('base' for no tables). Later additions are lost.

    Raises:
        SchemaTooNew: a later version of the program made the database.
        SchemaMissing, SchemaTooOld: there is nothing to downgrade.
    """
    from alembic import command

    require_file(engine)
    with _migrating(engine) as (connection, found, _):
        order = [*known(), "base"]
        if order.index(found or "base") > order.index(revision):
            raise SchemaTooOld(
                f"the catalogue {shown(engine)} has schema {found or 'base'}, which is older than "
                f"{revision}: there is nothing to downgrade"
            )
        command.downgrade(alembic_config(connection), revision)


def require_file(engine: Engine) -> None:
    """Raise SchemaMissing if the catalogue is a SQLite file that does not exist."""
    # connecting to it would create it
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
        raise _missing(engine)


@contextmanager
def no_empty_file(url: str) -> Iterator[None]:
    """Remove the SQLite file that the block created for a catalogue, if it fails without a row.

    It stays if another process has it open, since that may be about to add rows.
    """
    parsed = parse_url(url)
    is_file = parsed.get_backend_name() == "sqlite"
    file = Path(str(parsed.database))
    if not is_file or file.exists():
        yield
        return
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error, OSError):
            _remove_if_empty(file)
        raise


def _remove_if_empty(file: Path) -> None:
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=0)) as raw:
        raw.isolation_level = None
        # refused while any other connection is open
        if raw.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
            return
        raw.execute("BEGIN EXCLUSIVE")
        tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
        with_rows = [
            name
            for name in ("crawls", "catalogue", "forgotten")
            if name in tables and raw.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()  # noqa: S608
        ]
        if not with_rows:
            file.unlink()


@contextmanager
def _migrating(engine: Engine) -> Iterator[tuple[Connection, str | None, str]]:
    """A transaction for one migration at a time, with the current and the newest revision."""
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":  # on SQLite, BEGIN IMMEDIATE suffices
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
        found, revisions = current(connection), known()
        if found is not None and found not in revisions:
            raise _too_new(engine, found, revisions[0])
        yield connection, found, revisions[0]


def _missing(engine: Engine) -> SchemaMissing:
    return SchemaMissing(
        f"there is no catalogue in {shown(engine)} yet: label a folder, "
        "or create an empty one with: fashion-cascade db upgrade"
    )


def _too_new(engine: Engine, found: str, newest: str) -> SchemaTooNew:
    return SchemaTooNew(
        f"the catalogue {shown(engine)} has schema {found}, made by a later version of "
        f"fashion-cascade; this version knows none after {newest}: install the later version"
    )
