"""Leasing rows: what `Catalogue.claim` and `Catalogue.claim_alone` do inside their transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.records import REASON_QUARANTINED, Claim, FileState
from db.tables import path_key
from db.writes import bulk, history, leases, registry
from db.writes.leases import Asking, RowState, Verdict
from db.writes.row_values import text

NO_LEASE: dict[str, Any] = {"claimed_by": None, "claimed_until": None, "claimed_alone": False}
Verdicts = dict[Verdict, list[RowState]]


def until(now: datetime, lease_seconds: float) -> datetime:
    """When a lease taken now ends."""
    return now + timedelta(seconds=lease_seconds)


def claim(
    connection: Connection, table: sa.Table, crawl: str, files: Sequence[FileState], asking: Asking
) -> Claim:
    """Judge and lease the files of a shard; see the top of ``db/catalogue.py``."""
    wanted = {path_key(file.path): file for file in files}
    found = _found_or_added(connection, table, crawl, wanted, asking)
    verdicts: Verdicts = {verdict: [] for verdict in Verdict}
    for key, file in wanted.items():
        verdicts[leases.judge(found[key], file, asking)].append(found[key])
    history.reopen(connection, table, verdicts[Verdict.REOPEN], asking.now)
    to_lease = verdicts[Verdict.TODO] + verdicts[Verdict.REOPEN]
    lease = _lease(asking) | {"model_version": asking.model_version}
    update(connection, table, to_lease, lease)
    for verdict in (Verdict.TAKE_OVER, Verdict.QUARANTINE):
        _count_deaths(connection, table, verdicts[verdict], verdict, asking.now)

    def files_of(*which: Verdict) -> list[FileState]:
        return [wanted[row.path_key] for verdict in which for row in verdicts[verdict]]

    made = Claim(
        todo=files_of(Verdict.TODO, Verdict.REOPEN),
        suspects=files_of(Verdict.SUSPECT, Verdict.TAKE_OVER),
        done=[file.path for file in files_of(Verdict.DONE)],
        busy=[file.path for file in files_of(Verdict.BUSY)],
        quarantined=[file.path for file in files_of(Verdict.QUARANTINE)],
    )
    ends = [row.claimed_until for row in verdicts[Verdict.BUSY] if row.claimed_until is not None]
    if not ends:
        return made
    return replace(made, busy_seconds=(max(ends) - asking.now).total_seconds())


def claim_alone(
    connection: Connection, table: sa.Table, crawl: str, path: str, asking: Asking
) -> bool:
    """Lease one suspect for a run by itself, or count the death of who ran it last."""
    key = path_key(path)
    row = leases.states(connection, table, crawl, [key]).get(key)
    if row is None:
        return False
    verdict = leases.judge(row, FileState(path), asking)
    if verdict in (Verdict.TAKE_OVER, Verdict.QUARANTINE):
        _count_deaths(connection, table, [row], verdict, asking.now)
    if verdict not in (Verdict.TODO, Verdict.SUSPECT, Verdict.TAKE_OVER):
        return False
    lease = _lease(asking) | {"claimed_alone": True, "model_version": asking.model_version}
    update(connection, table, [row], lease)
    return True


def update(
    connection: Connection, table: sa.Table, rows: Sequence[RowState], values: Mapping[str, Any]
) -> None:
    """Give all of `rows` the same values."""
    for chunk in leases.chunks([row.id for row in rows]):
        connection.execute(sa.update(table).where(table.c.id.in_(chunk)).values(dict(values)))


def _lease(asking: Asking) -> dict[str, Any]:
    return {
        "claimed_by": asking.owner,
        "claimed_until": until(asking.now, asking.lease_seconds),
        "claimed_alone": False,
    }


def _found_or_added(
    connection: Connection,
    table: sa.Table,
    crawl: str,
    wanted: Mapping[bytes, FileState],
    asking: Asking,
) -> dict[bytes, RowState]:
    """The rows of the wanted files, locked; those that were not there are added first."""
    found = leases.states(connection, table, crawl, wanted)
    missing = sorted(key for key in wanted if key not in found)
    if not missing:
        return found
    registry.ensure_crawl(connection, crawl, asking.now)
    rows = [
        {
            "crawl": crawl,
            "path": text(wanted[key].path, "path"),
            "path_key": key,
            "size": wanted[key].size,
            "mtime": wanted[key].mtime,
            "model_version": asking.model_version,
            "status": "pending",
            "created_at": asking.now,
            "updated_at": asking.now,
        }
        for key in missing
    ]
    bulk.insert(connection, table, rows)
    # read again, and locked: another claim may have been first with some of them
    return found | leases.states(connection, table, crawl, missing)


def _count_deaths(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[RowState],
    verdict: Verdict,
    now: datetime,
) -> None:
    """Note that the worker of `rows` died, and free them of its lease."""
    alone = sa.case((table.c.claimed_alone, 1), else_=0)
    values: dict[str, Any] = {
        **NO_LEASE,
        "attempts": table.c.attempts + 1,
        "deaths_alone": table.c.deaths_alone + alone,
        "updated_at": now,
    }
    if verdict is Verdict.QUARANTINE:
        values |= {"status": "quarantined", "reason": REASON_QUARANTINED}
    update(connection, table, rows, values)
