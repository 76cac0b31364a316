"""Rows that are put off: their files cannot be read for now, which is no verdict on a picture.

A row is put off at most 5 times, over at least 10 minutes. Then it is rejected as ``unreadable``,
and the next run tries it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.records import Outcome
from db.writes import bulk
from db.writes.leases import RowState
from db.writes.row_values import NO_LEASE, NO_PUT_OFF, readable

PAUSES = (30, 60, 120, 180, 240)  # seconds
LEAST = timedelta(minutes=10)


def values(row: RowState, outcome: Outcome, now: datetime) -> dict[str, Any]:
    """The new values of a leased row whose picture is put off."""
    since = row.put_off_since or now
    shared = {**NO_LEASE, "detail": readable(outcome.detail), "updated_at": now}
    if row.put_offs >= len(PAUSES) and now - since >= LEAST:
        return {**shared, **NO_PUT_OFF, "status": "rejected", "reason": "unreadable"}
    pause = PAUSES[min(row.put_offs, len(PAUSES) - 1)]
    return {
        **shared,
        "put_offs": row.put_offs + 1,
        "put_off_since": since,
        "not_before": now + timedelta(seconds=pause),
        "status": "pending",
        "reason": None,
    }


def write(
    connection: Connection,
    table: sa.Table,
    found: Mapping[bytes, RowState],
    put_off: Mapping[bytes, Outcome],
    now: datetime,
) -> None:
    """Put off the rows of `found` that `put_off` names, by key."""
    rows = [
        {"id": found[key].id, **values(found[key], outcome, now)}
        for key, outcome in sorted(put_off.items())
    ]
    bulk.update(connection, table, [dict(sorted(row.items())) for row in rows])
