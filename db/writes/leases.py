"""Who may work on a row: the rules of claims and leases, and reading rows for them.

A claim is a lease: `claimed_by` until `claimed_until`. A worker that stops cleanly releases its
leases. A lease that ended otherwise raises `attempts` when another worker takes it over. A row with
`attempts` above 0 is a suspect: it is only run alone, under a lease with `claimed_alone` set. Two
deaths under such a lease (`deaths_alone`) quarantine it. Only a death that somebody saw counts:
`Catalogue.expire` marks the leases of a dead owner. A lease that merely ran out, because its worker
was stopped, slow or cut off, says nothing about the picture.

`decide` is a pure function, so that a test can check its decisions case by case.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from db.chunks import chunks
from db.records import FINAL_STATUSES, NOT_DOWNLOADED, RETRIED_REASONS, FileState
from db.writes import bulk

DEATHS_ALONE_TO_QUARANTINE = 2
DEAD = "dead: "  # begins the name of an owner that was seen to be dead


class Decision(Enum):
    """What happens to a row that a worker claims."""

    LEASE = "lease it"
    REOPEN = "make it pending again, then lease it"
    SUSPECT = "a worker died on it before: run it alone"
    LAPSED = "its lease ran out: run it alone"
    COUNT_DEATH = "its worker died: count that, then run it alone"
    QUARANTINE = "its worker died for the last time: count that and quarantine it"
    BUSY = "another worker's lease is live"
    PUT_OFF = "its file could not be read a short time ago"
    DONE = "nothing to do"


SUSPECTS = (Decision.SUSPECT, Decision.LAPSED, Decision.COUNT_DEATH)
TAKEOVERS = (Decision.LAPSED, Decision.COUNT_DEATH, Decision.QUARANTINE)


@dataclass(frozen=True)
class RowState:
    """The columns that a decision depends on."""

    id: int
    path_key: bytes
    status: str
    size: int | None
    mtime: float | None
    model_version: str | None
    attempts: int
    deaths_alone: int
    claimed_by: str | None
    claimed_until: datetime | None
    claimed_alone: bool
    content_hash: str | None = None
    human_label: str | None = None
    reason: str | None = None
    put_offs: int = 0
    put_off_since: datetime | None = None
    not_before: datetime | None = None
    generation: int = 0
    shop: str | None = None


@dataclass(frozen=True)
class ClaimRequest:
    """Who claims rows, for which model, and when.

    With `reopen`, a finished row is worked again if its file changed or another model labelled it,
    and a file without a row gets one. With `again`, also one that was forgotten or archived.
    """

    owner: str
    model_version: str
    now: datetime
    lease_seconds: float = 0.0
    reopen: bool = True
    again: bool = False


def file_changed(row: RowState, file: FileState) -> bool:
    """Whether size or mtime differ from the row's; unknown values count as equal."""
    return any(
        old is not None and new is not None and old != new
        for old, new in ((row.size, file.size), (row.mtime, file.mtime))
    )


def _reappeared(row: RowState, file: FileState) -> bool:
    """Whether a scan has found a file that was missing or not downloaded."""
    return row.reason in ("missing", NOT_DOWNLOADED) and file.size is not None


def decide(row: RowState, file: FileState, request: ClaimRequest) -> Decision:
    """What happens to `row`, whose picture is `file`, under `request`."""
    if row.status in FINAL_STATUSES:
        return _decide_final(row, file, request)
    if file.generation not in (None, row.generation):
        return Decision.DONE  # there is a newer request, with its own message
    if row.claimed_by is None or row.claimed_by == request.owner:
        for_another_model = row.model_version not in (None, request.model_version)
        if for_another_model and not request.reopen:
            return Decision.DONE  # a late message: the row is now pending for another model
        if row.not_before is not None and row.not_before > request.now:
            return Decision.PUT_OFF
        return Decision.LEASE if row.attempts == 0 else Decision.SUSPECT
    if row.claimed_until is not None and row.claimed_until > request.now:
        return Decision.BUSY
    if not row.claimed_by.startswith(DEAD):
        return Decision.LAPSED
    if row.claimed_alone and row.deaths_alone + 1 >= DEATHS_ALONE_TO_QUARANTINE:
        return Decision.QUARANTINE
    return Decision.COUNT_DEATH


def is_new_request(row: RowState, request: ClaimRequest) -> bool:
    """Whether leasing `row` replaces a request for another model."""
    return row.model_version not in (None, request.model_version)


def may_store(row: RowState, owner: str, model_version: str, generation: int | None) -> bool:
    """Whether `owner` may write its result into `row`.

    Not if it was asked for anew since the claim: with another model, or with a replaced file, which
    raises the generation. None: not compared.
    """
    return (
        row.status == "pending"
        and row.claimed_by in (None, owner)
        and row.model_version in (None, model_version)
        and generation in (None, row.generation)
    )


def _decide_final(row: RowState, file: FileState, request: ClaimRequest) -> Decision:
    if not request.reopen or row.status == "cancelled":
        return Decision.DONE
    if file_changed(row, file) or _reappeared(row, file) or row.reason in RETRIED_REASONS:
        return Decision.REOPEN
    # a picture that kills workers does so under any model; only a changed file is retried
    if row.status == "quarantined" or row.model_version == request.model_version:
        return Decision.DONE
    return Decision.REOPEN


def locked_rows(
    connection: Connection, table: sa.Table, crawl: str, keys: Iterable[bytes]
) -> dict[bytes, RowState]:
    """The existing rows of `keys`, by key; locked until the transaction ends.

    All writers lock in the order of the keys, so that they wait for each other and never deadlock.
    """
    found: dict[bytes, RowState] = {}
    columns = [table.c[name] for name in RowState.__dataclass_fields__]
    for chunk in chunks(sorted(keys), bulk.KEYS_PER_STATEMENT):
        query = _with_keys(connection, sa.select(*columns), table, crawl, chunk)
        query = query.order_by(table.c.path_key).with_for_update(of=table)
        for values in connection.execute(query):
            row = RowState(*values)
            found[row.path_key] = row
    return found


def _with_keys(
    connection: Connection,
    query: sa.Select[Any],
    table: sa.Table,
    crawl: str,
    keys: Sequence[bytes],
) -> sa.Select[Any]:
    """`query` restricted to the rows with these keys.

    PostgreSQL gets both parts of the key as rows to join, not the crawl as an equality: for a crawl
    newer than its statistics it expects a row or two, chooses the index on the crawl, and reads all
    of the crawl for each batch.
    """
    dialect = connection.dialect
    if dialect.name != "postgresql":
        return query.where(table.c.crawl == crawl, table.c.path_key.in_(keys))
    names = ("crawl", "path_key")
    arrays = [
        sa.cast(
            sa.literal(bulk.array_literal(values, table.c[name].type, dialect), sa.Text),
            postgresql.ARRAY(table.c[name].type),
        )
        for name, values in zip(names, ([crawl] * len(keys), keys), strict=True)
    ]
    columns = [sa.column(name, table.c[name].type) for name in names]
    asked = sa.func.unnest(*arrays).table_valued(*columns, name="asked").render_derived()
    same = [table.c[name] == asked.c[name] for name in names]
    return query.select_from(table.join(asked, sa.and_(*same)))
