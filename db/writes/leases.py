"""Who may work on a row now: one pure function, so that its table can be tested case by case.

A claim is a lease, `claimed_by` until `claimed_until`. A worker that stops cleanly gives its
leases back; so a lease that ran out belonged to a worker that died (or hung), and only then does
`attempts` rise. Once `attempts` is above 0 the row is a suspect: it is only ever run alone, under
a lease with `claimed_alone` set, and two deaths under such a lease (`deaths_alone`) quarantine it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from db.records import FINAL, FileState
from db.writes import bulk

DEATHS_ALONE_TO_QUARANTINE = 2
# well under SQLite's 32,766 and PostgreSQL's 65,535 bound parameters a statement
KEYS_A_STATEMENT = 5000

T = TypeVar("T")


class Verdict(Enum):
    """What is to become of a row when somebody asks for it."""

    TODO = "lease it"
    REOPEN = "make it pending again, then lease it"
    SUSPECT = "its worker died once: to be run alone"
    TAKE_OVER = "its worker died now: count that, to be run alone"
    QUARANTINE = "its worker died for the last time: count that and quarantine it"
    BUSY = "another worker's lease is alive"
    DONE = "nothing to do"


@dataclass(frozen=True)
class RowState:
    """What decides about a row."""

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


@dataclass(frozen=True)
class Asking:
    """Who asks, for which model, at what time. `reopen`: final rows that changed count as new."""

    owner: str
    model_version: str
    now: datetime
    lease_seconds: float = 0.0
    reopen: bool = True


def changed(row: RowState, file: FileState) -> bool:
    """Whether the file is another than the row was written for; unknown counts as the same."""
    return any(
        old is not None and new is not None and old != new
        for old, new in ((row.size, file.size), (row.mtime, file.mtime))
    )


def _came_back(row: RowState, file: FileState) -> bool:
    """Whether a file that was missing has been seen by a scan since."""
    return row.reason == "missing" and file.size is not None


def judge(row: RowState, file: FileState, asking: Asking) -> Verdict:
    """What becomes of `row`, of which `file` is the picture, when `asking` claims it."""
    if row.status in FINAL:
        return _judge_final(row, file, asking)
    if row.claimed_by is None or row.claimed_by == asking.owner:
        wanted_by_another = row.model_version not in (None, asking.model_version)
        if wanted_by_another and not asking.reopen:
            return Verdict.DONE  # a late message: the row now waits for another model
        return Verdict.TODO if row.attempts == 0 else Verdict.SUSPECT
    if row.claimed_until is not None and row.claimed_until > asking.now:
        return Verdict.BUSY
    if row.claimed_alone and row.deaths_alone + 1 >= DEATHS_ALONE_TO_QUARANTINE:
        return Verdict.QUARANTINE
    return Verdict.TAKE_OVER


def _judge_final(row: RowState, file: FileState, asking: Asking) -> Verdict:
    if not asking.reopen or row.status == "cancelled":
        return Verdict.DONE
    if changed(row, file) or _came_back(row, file):
        return Verdict.REOPEN
    # what killed workers kills them under any model; only another file is another chance
    if row.status == "quarantined" or row.model_version == asking.model_version:
        return Verdict.DONE
    return Verdict.REOPEN


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """`items` in runs that fit into one statement."""
    for start in range(0, len(items), KEYS_A_STATEMENT):
        yield items[start : start + KEYS_A_STATEMENT]


def states(
    connection: Connection, table: sa.Table, crawl: str, keys: Iterable[bytes], *, lock: bool = True
) -> dict[bytes, RowState]:
    """The rows of `keys` that exist, by key; locked in key order until the transaction ends.

    One order for all writers, so that two of them wait for each other and never deadlock.
    """
    found: dict[bytes, RowState] = {}
    columns = [table.c[name] for name in RowState.__dataclass_fields__]
    for chunk in chunks(sorted(keys)):
        query = _by_key(connection, sa.select(*columns), table, crawl, chunk)
        query = query.order_by(table.c.path_key)
        if lock:
            query = query.with_for_update(of=table)
        for values in connection.execute(query):
            row = RowState(*values)
            found[row.path_key] = row
    return found


def _by_key(
    connection: Connection,
    query: sa.Select[Any],
    table: sa.Table,
    crawl: str,
    keys: Sequence[bytes],
) -> sa.Select[Any]:
    """`query` of the rows with these keys.

    PostgreSQL is given both parts of the key as rows to be joined, not a crawl that is equal to a
    value: of a crawl that is newer than its statistics it believes that there is a row or two,
    takes the index of the crawls for it, and so reads all of the crawl for each batch.
    """
    if connection.dialect.name != "postgresql":
        return query.where(table.c.crawl == crawl, table.c.path_key.in_(keys))
    dialect = connection.dialect
    names = ("crawl", "path_key")
    arrays = [
        sa.cast(
            sa.literal(bulk.array(values, table.c[name].type, dialect), sa.Text),
            postgresql.ARRAY(table.c[name].type),
        )
        for name, values in zip(names, ([crawl] * len(keys), keys), strict=True)
    ]
    columns = [sa.column(name, table.c[name].type) for name in names]
    asked = sa.func.unnest(*arrays).table_valued(*columns, name="asked").render_derived()
    same = [table.c[name] == asked.c[name] for name in names]
    return query.select_from(table.join(asked, sa.and_(*same)))
