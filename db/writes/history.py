"""Labels that were replaced: kept in `label_history`, with the model that gave them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.tables import LABEL_COLUMNS, catalogue, label_history
from db.writes.leases import RowState, chunks
from db.writes.row_values import NO_LABEL

_KEPT = ("content_hash", *LABEL_COLUMNS)


def keep(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Copy the labels of these catalogue rows into the history; those without a label have none."""
    for chunk in chunks(ids):
        old = (
            sa.select(catalogue.c.id, sa.literal(now, label_history.c.replaced_at.type))
            .add_columns(*(catalogue.c[name] for name in _KEPT))
            .where(catalogue.c.id.in_(chunk), catalogue.c.status == "labelled")
        )
        connection.execute(
            sa.insert(label_history).from_select(["catalogue_id", "replaced_at", *_KEPT], old)
        )


def reopen(
    connection: Connection, table: sa.Table, rows: Sequence[RowState], now: datetime
) -> None:
    """Make finished rows pending again, their labels kept in the history."""
    ids = [row.id for row in rows]
    if table is catalogue:
        keep(connection, ids, now)
    values: dict[str, Any] = {
        **NO_LABEL,
        "status": "pending",
        "reason": None,
        "attempts": 0,
        "deaths_alone": 0,
        "claimed_by": None,
        "claimed_until": None,
        "claimed_alone": False,
        "updated_at": now,
    }
    for chunk in chunks(ids):
        connection.execute(sa.update(table).where(table.c.id.in_(chunk)).values(values))
