"""The counters behind `stats`: kept by triggers (migration 0003), added up and checked here."""

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

_LOCK = 0x636F756E  # 'coun': one settles, the others go on writing


def settle(connection: Connection) -> None:
    """Add the appended changes up into the counters. Nothing to do on SQLite.

    One transaction at a time does so; a second one that comes meanwhile leaves it to the first.
    """
    if connection.dialect.name != "postgresql":
        return
    if not connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK))).scalar():
        return
    gone = sa.delete(catalogue_count_changes).returning(catalogue_count_changes).cte("gone")
    rows, sure = sa.func.sum(gone.c.rows), sa.func.sum(gone.c.sum_confidence)
    keys = [gone.c[name] for name in COUNTED]
    added = sa.select(*keys, rows, sure).group_by(*keys)
    names = [*COUNTED, "rows", "sum_confidence"]
    insert = postgresql.insert(catalogue_counts).from_select(names, added)
    sums: dict[str, Any] = {
        name: catalogue_counts.c[name] + insert.excluded[name]
        for name in ("rows", "sum_confidence")
    }
    connection.execute(insert.on_conflict_do_update(index_elements=list(COUNTED), set_=sums))


def tidy(connection: Connection) -> None:
    """Settle, and drop the counters that stand at zero."""
    settle(connection)
    connection.execute(sa.delete(catalogue_counts).where(catalogue_counts.c.rows == 0))


def differences(connection: Connection) -> list[str]:
    """Where the counters and a count of the rows themselves disagree; empty when they add up."""
    by = ("crawl", "status", "label", "reason")
    label = sa.func.coalesce(catalogue.c.human_label, catalogue.c.label, "").label("label")
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
    """Count the rows anew and replace the counters: the remedy when they do not add up."""
    from db.migrations.versions.r0003_counters import KEYS, counted

    if connection.dialect.name == "postgresql":  # nobody writes or settles until this is done
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
