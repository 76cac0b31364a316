"""Merging, checking and repairing the counters behind `stats`.

Triggers write them (migration 0003).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from db.tables import (
    COUNTED,
    catalogue,
    catalogue_count_changes,
    catalogue_counted,
    catalogue_counts,
)

_LOCK = 0x636F756E  # 'coun': one transaction merges while the others keep writing
SUMS = ("rows", "sum_confidence")


def merge_changes(connection: Connection) -> None:
    """Merge the appended changes into the counters. Does nothing on SQLite.

    One transaction at a time merges; a concurrent one returns at once.
    """
    if connection.dialect.name != "postgresql":
        return
    if not connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK))).scalar():
        return
    changes = sa.delete(catalogue_count_changes).returning(catalogue_count_changes).cte("changes")
    keys = [changes.c[name] for name in COUNTED]
    totals = [sa.func.sum(changes.c[name]) for name in SUMS]
    added = sa.select(*keys, *totals).group_by(*keys)
    insert = postgresql.insert(catalogue_counts).from_select([*COUNTED, *SUMS], added)
    sums: dict[str, Any] = {name: catalogue_counts.c[name] + insert.excluded[name] for name in SUMS}
    connection.execute(insert.on_conflict_do_update(index_elements=list(COUNTED), set_=sums))


def compact(connection: Connection) -> None:
    """Merge the changes and delete counters that are zero."""
    merge_changes(connection)
    connection.execute(sa.delete(catalogue_counts).where(catalogue_counts.c.rows == 0))


def differences(connection: Connection) -> list[str]:
    """Where the counters differ from a count of the rows; empty when they agree."""
    by = ("crawl", "status", "label", "reason")
    label = sa.func.coalesce(catalogue.c.label, "").label("label")
    reason = sa.func.coalesce(catalogue.c.reason, "").label("reason")
    real_keys = (catalogue.c.crawl, catalogue.c.status, label, reason)
    real = sa.select(*real_keys, sa.func.count()).group_by(*real_keys)
    kept_keys = [catalogue_counted.c[name] for name in by]
    kept = sa.select(*kept_keys, sa.func.sum(catalogue_counted.c.rows)).group_by(*kept_keys)
    rows = {tuple(row[:4]): int(row[4]) for row in connection.execute(real)}
    counts = {tuple(row[:4]): int(row[4]) for row in connection.execute(kept) if row[4]}
    return [
        f"crawl {key[0]!r}, {key[1]} {key[2] or key[3]}: {rows.get(key, 0)} rows, "
        f"{counts.get(key, 0)} counted"
        for key in sorted(rows.keys() | counts.keys())
        if rows.get(key, 0) != counts.get(key, 0)
    ]


def recount(connection: Connection) -> None:
    """Count all rows and replace the counters: the repair when `differences` finds any."""
    from db.migrations.versions.r0003_counters import KEYS, counted

    if connection.dialect.name == "postgresql":  # no writes or merges until this is done
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        connection.execute(sa.text("LOCK TABLE catalogue IN SHARE MODE"))
    connection.execute(sa.delete(catalogue_count_changes))
    connection.execute(sa.delete(catalogue_counts))
    connection.execute(
        sa.text(
            f"INSERT INTO catalogue_counts ({KEYS}, rows, sum_confidence) "  # noqa: S608 - constants
            f"SELECT {counted(connection.dialect.name)}, count(*), coalesce(sum(confidence), 0) "
            "FROM catalogue GROUP BY 1, 2, 3, 4, 5, 6, 7"
        )
    )
