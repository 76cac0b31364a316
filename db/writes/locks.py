"""Locks by name in the catalogue, for work that one process at a time should do."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine

from db import clocks
from db.session import writing
from db.tables import locks


def take(engine: Engine, name: str, holder: str, seconds: float) -> bool:
    """Take the lock for `seconds`; False if somebody holds it. It ends by itself."""
    insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    with writing(engine) as connection:
        now = clocks.now(connection)
        connection.execute(sa.delete(locks).where(locks.c.name == name, locks.c.until <= now))
        row = {"name": name, "holder": holder, "until": now + timedelta(seconds=seconds)}
        # not by rowcount: SQLAlchemy drops PostgreSQL's for an INSERT
        added = insert(locks).values(**row).on_conflict_do_nothing().returning(locks.c.name)
        return connection.execute(added).first() is not None
