"""The catalogue as the queue's ledger: counts, pending paths, cancelling, reopening."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db import clocks
from db.chunks import chunks
from db.errors import InvalidRecord
from db.filters import FAILED_ROWS, Filter, conditions
from db.records import STATUSES
from db.session import reading, writing
from db.tables import STATUS_LITERALS, catalogue, catalogue_summary, crawls, path_key
from db.writes.row_values import NO_LEASE, PENDING_AGAIN
from rendering.text import did_you_mean

PATHS_PER_PAGE = 10_000
CRAWLS_IN_MESSAGE = 10
IDS_PER_STATEMENT = 500
REOPENABLE = ("rejected", "quarantined")
_REOPENED: dict[str, Any] = {
    **PENDING_AGAIN,
    "model_version": catalogue.c.model_version,  # what was asked for, as in its message
    "generation": catalogue.c.generation + 1,
}
_FAILED = (FAILED_ROWS, catalogue.c.status.in_(REOPENABLE))  # the first for its index


class Reopened(NamedTuple):
    """A row that is pending again, for the same model.

    `status` is the one before: rejected or quarantined.
    """

    id: int
    crawl: str
    path: str
    status: str
    model_version: str | None


def counts(engine: Engine, crawl: str | None = None) -> dict[str, int]:
    """The number of rows of each status, in one crawl or in all."""
    total = dict.fromkeys(STATUSES, 0)
    for counted in counts_by_crawl(engine, crawl).values():
        for (status, _), number in counted.items():
            total[status] += number
    return total


def counts_by_crawl(
    engine: Engine, crawl: str | None = None
) -> dict[str, dict[tuple[str, str | None], int]]:
    """For each crawl, the number of rows by (status, reason), from the counters."""
    view = catalogue_summary
    query = sa.select(view.c.crawl, view.c.status, view.c.reason, sa.func.sum(view.c.rows))
    query = query.group_by(view.c.crawl, view.c.status, view.c.reason)
    if crawl is not None:
        query = query.where(view.c.crawl == crawl)
    found: dict[str, dict[tuple[str, str | None], int]] = {}
    with reading(engine) as connection:
        for name, status, reason, number in connection.execute(query):
            found.setdefault(name, {})[status, reason] = int(number)
    return dict(sorted(found.items()))


def crawl_names(engine: Engine) -> list[str]:
    """The crawls, oldest first."""
    with reading(engine) as connection:
        query = sa.select(crawls.c.name).order_by(crawls.c.created_at, crawls.c.name)
        return list(connection.execute(query).scalars())


def require_crawl(engine: Engine, crawl: str) -> None:
    """Raise unless the catalogue has this crawl.

    Raises:
        InvalidRecord: there is no crawl of that name; the message lists the existing ones.
    """
    if words := unknown_crawl(engine, crawl):
        raise InvalidRecord(words)


def unknown_crawl(engine: Engine, crawl: str) -> str | None:
    """A line that names a crawl which the catalogue does not have, and those it has; or None."""
    names = crawl_names(engine)
    if crawl in names:
        return None
    shown = ", ".join(names[-CRAWLS_IN_MESSAGE:]) if names else "none yet"
    older = len(names) - CRAWLS_IN_MESSAGE
    more = f" and {older} older{did_you_mean(crawl, names)}" if older > 0 else ""
    return f"there is no crawl {crawl!r}; the catalogue's crawls: {shown}{more}"


def pending_paths(
    engine: Engine, crawl: str, *, table: sa.Table = catalogue
) -> Iterator[tuple[str, str | None]]:
    """(path, wanted model version) of pending rows without a live lease, in the order added."""

    def unleased(now: datetime) -> sa.ColumnElement[bool]:
        return sa.or_(table.c.claimed_by.is_(None), table.c.claimed_until <= now)

    return _paths(engine, crawl, table, unleased)


def stale_paths(
    engine: Engine, crawl: str, older_than_seconds: float, *, lost: bool = False
) -> Iterator[tuple[str, str | None]]:
    """(path, wanted model version) of pending rows whose lease expired longer ago than that.

    With `lost`, also rows without a lease that have not changed for that long.
    """
    table = catalogue

    def stale(now: datetime) -> sa.ColumnElement[bool]:
        before = now - timedelta(seconds=older_than_seconds)
        expired = table.c.claimed_until <= before
        unclaimed = sa.and_(table.c.claimed_by.is_(None), table.c.updated_at <= before)
        return sa.or_(expired, unclaimed) if lost else expired

    return _paths(engine, crawl, table, stale)


def _paths(
    engine: Engine,
    crawl: str,
    table: sa.Table,
    condition: Callable[[datetime], sa.ColumnElement[bool]],
) -> Iterator[tuple[str, str | None]]:
    """(path, wanted model version) of the pending rows that meet `condition` of the current time.

    Read in pages, each in a short transaction, so that a slow reader blocks nobody.
    """
    last = 0
    while True:
        with reading(engine) as connection:
            query = (
                sa.select(table.c.id, table.c.path, table.c.model_version)
                .where(_pending(table, crawl), table.c.id > last)
                .where(condition(clocks.now(connection)))
                .order_by(table.c.id)
                .limit(PATHS_PER_PAGE)
            )
            page = connection.execute(query).all()
        for _, path, model_version in page:
            yield path, model_version
        if not page:
            return
        last = page[-1][0]


def _pending(table: sa.Table, crawl: str) -> sa.ColumnElement[bool]:
    """The pending rows of a crawl, in the words of their partial index."""
    return sa.and_(table.c.crawl == crawl, table.c.status == STATUS_LITERALS["pending"])


def oldest_pending_seconds(engine: Engine) -> float:
    """How long the first pending row of any crawl has been waiting; 0 if none is pending."""
    pending_crawls = [
        name
        for name, counted in counts_by_crawl(engine).items()
        if any(status == "pending" and number for (status, _), number in counted.items())
    ]
    ages = [0.0]
    with reading(engine) as connection:
        now = clocks.now(connection)
        for name in pending_crawls:  # one row of the index per crawl, not all pending rows
            query = (
                sa.select(catalogue.c.updated_at)
                .where(_pending(catalogue, name))
                .order_by(catalogue.c.id)
                .limit(1)
            )
            since = connection.execute(query).scalar_one_or_none()
            if since is not None:
                ages.append((now - since).total_seconds())
    return max(ages)


def quarantined(engine: Engine, crawl: str | None = None) -> Iterator[tuple[str, str, int]]:
    """(crawl, path, attempts) of quarantined rows, of one crawl or of all."""
    table = catalogue
    query = sa.select(table.c.crawl, table.c.path, table.c.attempts).where(
        table.c.status == "quarantined"
    )
    if crawl is not None:
        query = query.where(table.c.crawl == crawl)
    with reading(engine) as connection:
        yield from (tuple(row) for row in connection.execute(query.order_by(table.c.id)).all())


def cancel(engine: Engine, crawl: str) -> int:
    """Cancel the pending rows of `crawl`; a worker that holds one then stores nothing."""
    with writing(engine) as connection:
        statement = (
            sa.update(catalogue)
            .where(_pending(catalogue, crawl))
            .values(
                status="cancelled",
                generation=catalogue.c.generation + 1,
                updated_at=clocks.now(connection),
                **NO_LEASE,
            )
        )
        return connection.execute(statement).rowcount


def reopen_rejected(engine: Engine, crawl: str, reason: str) -> list[Reopened]:
    """Make the rows of `crawl` that were rejected for `reason` pending again."""
    return _reopen(engine, crawl, "rejected", catalogue.c.reason == reason)


def release_quarantined(engine: Engine, crawl: str, paths: Sequence[str] = ()) -> list[Reopened]:
    """Make quarantined rows of `crawl` (all, or those of `paths`) pending."""
    keys = [path_key(path) for path in paths]
    return _reopen(
        engine, crawl, "quarantined", catalogue.c.path_key.in_(keys) if keys else sa.true()
    )


def _reopen(
    engine: Engine, crawl: str, status: str, chosen: sa.ColumnElement[bool]
) -> list[Reopened]:
    columns = [catalogue.c[name] for name in ("id", "crawl", "path", "model_version")]
    with writing(engine) as connection:
        changed = connection.execute(
            sa.update(catalogue)
            .where(catalogue.c.crawl == crawl, catalogue.c.status == status, chosen)
            .values(**_REOPENED, updated_at=clocks.now(connection))
            .returning(*columns)
        )
        return [Reopened(row.id, row.crawl, row.path, status, row.model_version) for row in changed]


def reopen_rows(engine: Engine, ids: Sequence[int]) -> list[Reopened]:
    """Make those of the rows `ids` pending that are rejected or quarantined; return these."""
    found: list[Reopened] = []
    with writing(engine) as connection:
        for chunk in chunks(sorted(set(ids)), IDS_PER_STATEMENT):
            found += _reopen_chosen(connection, _failed().where(catalogue.c.id.in_(chunk)))
    return found


def reopen_filter(engine: Engine, wanted: Filter, expected: int) -> Iterator[list[Reopened]]:
    """Make the rejected and quarantined rows of a filter pending, and yield them in pages.

    Each page is a transaction of its own, in the order of ids, and is yielded when it is committed:
    what a caller does with it, it need not do with all rows at once. A row that is rejected again
    meanwhile is not reopened twice.

    Raises:
        InvalidRecord: the filter has another number of such rows than `expected`, which a person
            confirmed. Nothing is reopened.
    """
    with reading(engine) as connection:
        where = conditions(connection, wanted)
        rows = sa.select(sa.func.count()).select_from(catalogue).where(*_FAILED, *where)
        number = int(connection.execute(rows).scalar_one())
    if number != expected:
        raise InvalidRecord(
            f"nothing was changed: expected {expected:,} rejected and quarantined rows of this "
            f"filter, as confirmed, found {number:,}; look at them again and confirm their number"
        )
    last = 0
    while True:
        with writing(engine) as connection:
            query = _failed().where(catalogue.c.id > last, *where).limit(PATHS_PER_PAGE)
            page = _reopen_chosen(connection, query)
        if not page:
            return
        last = page[-1].id
        yield page


def _failed() -> sa.Select[Any]:
    """The rejected and quarantined rows, in the order of ids, locked."""
    columns = [catalogue.c[name] for name in Reopened._fields]
    return sa.select(*columns).where(*_FAILED).order_by(catalogue.c.id).with_for_update()


def _reopen_chosen(connection: sa.Connection, chosen: sa.Select[Any]) -> list[Reopened]:
    found = [Reopened(*row) for row in connection.execute(chosen)]
    values = {**_REOPENED, "updated_at": clocks.now(connection)}
    for chunk in chunks(found, IDS_PER_STATEMENT):
        ids = catalogue.c.id.in_([row.id for row in chunk])
        connection.execute(sa.update(catalogue).where(ids).values(**values))
    return found
