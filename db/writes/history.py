"""Replaced labels, kept in `label_history` with the model version that gave them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.chunks import chunks
from db.tables import LABEL_COLUMNS, LABEL_PARTS, catalogue, label_history, labels
from db.writes import bulk
from db.writes.leases import RowState
from db.writes.row_values import PENDING_AGAIN

_COPIED = ("content_hash", *LABEL_COLUMNS)


def keep(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Copy the labels of these catalogue rows into the history; skip rows without a label."""
    # the parts of the model's label, which those of a human label replace in the row
    columns = [(labels if name in LABEL_PARTS else catalogue).c[name] for name in _COPIED]
    rows = catalogue.join(labels, labels.c.label == catalogue.c.model_label)
    for chunk in chunks(ids, bulk.KEYS_PER_STATEMENT):
        old = (
            sa.select(catalogue.c.id, sa.literal(now, label_history.c.replaced_at.type))
            .add_columns(*columns)
            .select_from(rows)
            .where(catalogue.c.id.in_(chunk), catalogue.c.status == "labelled")
        )
        connection.execute(
            sa.insert(label_history).from_select(["catalogue_id", "replaced_at", *_COPIED], old)
        )


def reopen(
    connection: Connection, table: sa.Table, rows: Sequence[RowState], now: datetime
) -> None:
    """Make finished rows pending again and keep their labels in the history."""
    ids = [row.id for row in rows]
    if table is catalogue:
        keep(connection, ids, now)
    raised = {"generation": table.c.generation + 1}
    bulk.update_all(connection, table, ids, {**PENDING_AGAIN, **raised, "updated_at": now})
