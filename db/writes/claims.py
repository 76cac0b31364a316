"""Leasing rows: `Catalogue.claim` and `Catalogue.claim_alone` inside their transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.records import REASON_QUARANTINED, Claim, FileState
from db.tables import path_key
from db.writes import bulk, history, leases, registry, withheld
from db.writes.leases import ClaimRequest, Decision, RowState
from db.writes.row_values import NO_LEASE, checked_text, pending_values


def lease_end(now: datetime, lease_seconds: float) -> datetime:
    """When a lease taken now ends."""
    return now + timedelta(seconds=lease_seconds)


def claim(
    connection: Connection,
    table: sa.Table,
    crawl: str,
    files: Sequence[FileState],
    request: ClaimRequest,
) -> Claim:
    """Decide about the files of a shard and lease them; see ``db/catalogue.py``."""
    asked = {path_key(file.path): file for file in files}
    found = _find_or_add(connection, table, crawl, asked, request)
    wanted = {key: file for key, file in asked.items() if key in found}
    _write_shops(connection, table, found, wanted)
    decided: dict[Decision, list[RowState]] = {decision: [] for decision in Decision}
    for key, file in wanted.items():
        decided[leases.decide(found[key], file, request)].append(found[key])
    history.reopen(connection, table, decided[Decision.REOPEN], request.now)
    to_lease = decided[Decision.LEASE] + decided[Decision.REOPEN]
    _lease(connection, table, to_lease, request, alone=False)
    replaced = [row for row in decided[Decision.LEASE] if leases.is_new_request(row, request)]
    raised = {"generation": table.c.generation + 1}
    bulk.update_all(connection, table, (row.id for row in replaced), raised)
    newer = {row.path_key for row in replaced + decided[Decision.REOPEN]}
    for decision in leases.TAKEOVERS:
        _take_over(connection, table, decided[decision], decision, request.now)

    def files_of(*decisions: Decision) -> list[FileState]:
        return [wanted[row.path_key] for decision in decisions for row in decided[decision]]

    def requests_of(*decisions: Decision) -> list[FileState]:
        """The files with their generation after this claim."""
        return [
            replace(wanted[key], generation=row.generation + (key in newer))
            for decision in decisions
            for row in decided[decision]
            if (key := row.path_key)
        ]

    result = Claim(
        todo=requests_of(Decision.LEASE, Decision.REOPEN),
        suspects=requests_of(*leases.SUSPECTS),
        done=[file.path for file in files_of(Decision.DONE)],
        busy=[file.path for file in files_of(Decision.BUSY)],
        quarantined=[file.path for file in files_of(Decision.QUARANTINE)],
        put_off=[file.path for file in files_of(Decision.PUT_OFF)],
        gone=[file.path for key, file in asked.items() if key not in found],
    )
    ends = [row.claimed_until for row in decided[Decision.BUSY]]
    tries = [row.not_before for row in decided[Decision.PUT_OFF]]
    return replace(
        result,
        busy_seconds=seconds_until_last(ends, request.now),
        put_off_seconds=seconds_until_last(tries, request.now),
    )


def seconds_until_last(times: Sequence[datetime | None], now: datetime) -> float | None:
    """The seconds from `now` to the last of `times`; None if there is none."""
    return max(((time - now).total_seconds() for time in times if time is not None), default=None)


def claim_alone(
    connection: Connection, table: sa.Table, crawl: str, file: FileState, request: ClaimRequest
) -> bool:
    """Lease one suspect to be run by itself, or count the death of the worker that held it."""
    key = path_key(file.path)
    row = leases.locked_rows(connection, table, crawl, [key]).get(key)
    if row is None:
        return False
    decision = leases.decide(row, file, request)
    if decision in leases.TAKEOVERS:
        _take_over(connection, table, [row], decision, request.now)
    if decision not in (Decision.LEASE, *leases.SUSPECTS):
        return False
    _lease(connection, table, [row], request, alone=True)
    return True


def _lease(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[RowState],
    request: ClaimRequest,
    *,
    alone: bool,
) -> None:
    values = {
        "claimed_by": request.owner,
        "claimed_until": lease_end(request.now, request.lease_seconds),
        "claimed_alone": alone,
        "model_version": request.model_version,
    }
    bulk.update_all(connection, table, (row.id for row in rows), values)


def _find_or_add(
    connection: Connection,
    table: sa.Table,
    crawl: str,
    wanted: Mapping[bytes, FileState],
    request: ClaimRequest,
) -> dict[bytes, RowState]:
    """The rows of the wanted files, locked.

    A direct request adds missing rows first, unless they were forgotten or archived. A message does
    not: it comes after `add_pending`, so what has no row was deleted since.
    """
    found = leases.locked_rows(connection, table, crawl, wanted)
    missing = sorted(key for key in wanted if key not in found)
    if missing and not request.again:
        kept_out = withheld.withheld(connection, crawl, missing) if request.reopen else missing
        missing = [key for key in missing if key not in kept_out]
    if not missing:
        return found
    registry.ensure_crawl(connection, crawl, request.now)
    rows = [pending_values(crawl, wanted[k], request.model_version, request.now) for k in missing]
    bulk.insert(connection, table, rows)
    # read again and lock: a concurrent claim may have added some of them first
    return found | leases.locked_rows(connection, table, crawl, missing)


def _write_shops(
    connection: Connection,
    table: sa.Table,
    found: Mapping[bytes, RowState],
    wanted: Mapping[bytes, FileState],
) -> None:
    """Write the shops that the files have, also into finished rows."""
    values = [
        {"id": found[key].id, "shop": checked_text(file.shop, f"{file.path}: shop")}
        for key, file in wanted.items()
        if file.shop not in (None, found[key].shop)
    ]
    bulk.update(connection, table, values)


def _take_over(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[RowState],
    decision: Decision,
    now: datetime,
) -> None:
    """Remove the ended lease of `rows`, and count the death if its worker died."""
    values: dict[str, Any] = {
        **NO_LEASE,
        "attempts": table.c.attempts + 1,
        "updated_at": now,
    }
    if decision is not Decision.LAPSED:
        alone = sa.case((table.c.claimed_alone, 1), else_=0)
        values["deaths_alone"] = table.c.deaths_alone + alone
    if decision is Decision.QUARANTINE:
        values |= {"status": "quarantined", "reason": REASON_QUARANTINED}
    bulk.update_all(connection, table, (row.id for row in rows), values)
