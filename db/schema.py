"""The schema's version: make it, upgrade it, and refuse one that the code does not know.

The migrations lie inside the package (``db/migrations``) and run in one transaction on both
databases, so a killed upgrade leaves the schema as it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.errors import SchemaMissing, SchemaTooNew, SchemaTooOld
from db.session import reading, shown, writing

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x66617368  # 'fash': one upgrade at a time on a PostgreSQL server


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the packaged migrations, bound to `connection`."""
    from alembic.config import Config

    config = Config()
    # a ConfigParser stands behind it, to which a lone % is an error
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest revision that this code knows."""
    return known()[0]


def known() -> list[str]:
    """The revisions that this code knows, newest first."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(alembic_config())
    return [revision.revision for revision in script.walk_revisions()]


def current(connection: Connection) -> str | None:
    """The revision that the database is at, None where there is no catalogue."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def require_current(engine: Engine) -> None:
    """Raise unless the schema is the one that this code was written for.

    Raises:
        SchemaMissing, SchemaTooOld, SchemaTooNew: each says what to do.
    """
    found = None
    # opening SQLite makes a file where there is none, which a look should not
    if engine.dialect.name != "sqlite" or Path(str(engine.url.database)).exists():
        with reading(engine) as connection:
            found = current(connection)
    revisions = known()
    if found == revisions[0]:
        return
    if found is None:
        raise SchemaMissing(
            f"there is no catalogue in {shown(engine)} yet: label a folder, "
            "or make an empty one with: fashion-cascade db upgrade"
        )
    if found in revisions:
        raise SchemaTooOld(
            f"the catalogue {shown(engine)} has schema {found}, this version needs "
            f"{revisions[0]}: back it up, then run: fashion-cascade db upgrade"
        )
    raise SchemaTooNew(_too_new(engine, found, revisions[0]))


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to `revision`; several processes may do so at once.

    Raises:
        SchemaTooNew: the database was made by a later version of the program.
    """
    from alembic import command

    with writing(engine) as connection:
        _lock(connection)
        found, revisions = current(connection), known()
        if found is not None and found not in revisions:
            raise SchemaTooNew(_too_new(engine, found, revisions[0]))
        if found != revisions[0] or revision != "head":
            command.upgrade(alembic_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema down to `revision` ('base' for none). What it added is lost."""
    from alembic import command

    with writing(engine) as connection:
        _lock(connection)
        found, revisions = current(connection), known()
        if found is not None and found not in revisions:
            raise SchemaTooNew(_too_new(engine, found, revisions[0]))
        command.downgrade(alembic_config(connection), revision)


def _lock(connection: Connection) -> None:
    """One upgrade at a time. On SQLite BEGIN IMMEDIATE has seen to that."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))


def _too_new(engine: Engine, found: str, newest: str) -> str:
    return (
        f"the catalogue {shown(engine)} has schema {found}, made by a later version of "
        f"fashion-cascade; this one knows none after {newest}: install the later version"
    )
