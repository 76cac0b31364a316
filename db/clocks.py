"""The current time, from one clock for all workers of a catalogue."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection


def now(connection: Connection) -> datetime:
    """The server's time on PostgreSQL; this host's on SQLite, whose users share one host."""
    if connection.dialect.name == "postgresql":
        found: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return found.astimezone(UTC)
    return datetime.now(UTC)
