"""The catalogue as the ledger of a queue: what waits, how a crawl stands, cancel and try again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db import clocks
from db.errors import InvalidRecord
from db.records import FINAL, STATUSES
from db.session import reading, writing
from db.tables import STATUS_LITERALS, catalogue, crawls, path_key
from db.writes import claims
from db.writes.row_values import NO_LABEL

PATHS_A_PAGE = 10_000
CRAWLS_NAMED = 10  # in the message about an unknown one


# the view over the counters that triggers keep: no row is counted when somebody asks
_SUMMARY = sa.table(
    "catalogue_summary",
    sa.column("crawl", sa.Text),
    sa.column("status", sa.Text),
    sa.column("reason", sa.Text),
    sa.column("rows", sa.BigInteger),
)


def counts(engine: Engine, crawl: str | None = None) -> dict[str, int]:
    """Rows by status, all statuses named; of one crawl or of all."""
    total = dict.fromkeys(STATUSES, 0)
    for counted in counts_by_crawl(engine, crawl).values():
        for (status, _), number in counted.items():
            total[status] += number
    return total


def leased(engine: Engine, crawl: str | None = None) -> int:
    """How many rows are under a live lease: being worked on at this moment."""
    with reading(engine) as connection:
        now = clocks.now(connection)
        query = sa.select(sa.func.count()).where(
            catalogue.c.claimed_by.isnot(None), catalogue.c.claimed_until > now
        )
        if crawl is not None:
            query = query.where(catalogue.c.crawl == crawl)
        return int(connection.execute(query).scalar_one())


def pending_paths(
    engine: Engine, crawl: str, *, table: sa.Table = catalogue
) -> Iterator[tuple[str, str | None]]:
    """(path, wanted model version) of the pending rows that nobody holds, in the order added.

    Read in pages, each its own short transaction, so that a slow reader blocks nobody.
    """
    last = 0
    while True:
        with reading(engine) as connection:
            now = clocks.now(connection)
            query = (
                sa.select(table.c.id, table.c.path, table.c.model_version)
                .where(
                    table.c.crawl == crawl,
                    table.c.status == STATUS_LITERALS["pending"],
                    table.c.id > last,
                )
                .where(sa.or_(table.c.claimed_by.is_(None), table.c.claimed_until <= now))
                .order_by(table.c.id)
                .limit(PATHS_A_PAGE)
            )
            page = connection.execute(query).all()
        for _, path, model_version in page:
            yield path, model_version
        if not page:
            return
        last = page[-1][0]


def cancel(engine: Engine, crawl: str) -> int:
    """Cancel what is still pending in `crawl`; a worker that holds a row then stores nothing."""
    with writing(engine) as connection:
        statement = (
            sa.update(catalogue)
            .where(catalogue.c.crawl == crawl, catalogue.c.status == STATUS_LITERALS["pending"])
            .values(status="cancelled", updated_at=clocks.now(connection), **claims.NO_LEASE)
        )
        return connection.execute(statement).rowcount


def try_again(engine: Engine, crawl: str, statuses: Sequence[str]) -> int:
    """Make the crawl's rows with these final statuses pending again; not for labelled rows.

    Raises:
        ValueError: a status that is not 'rejected', 'quarantined' or 'cancelled'.
    """
    allowed = FINAL - {"labelled"}
    if not set(statuses) <= allowed:
        raise ValueError(f"expected statuses out of {sorted(allowed)}, received {statuses!r}")
    with writing(engine) as connection:
        fresh = {"status": "pending", "reason": None, "attempts": 0, "deaths_alone": 0}
        statement = (
            sa.update(catalogue)
            .where(catalogue.c.crawl == crawl, catalogue.c.status.in_(list(statuses)))
            .values(**NO_LABEL, **fresh, updated_at=clocks.now(connection))
        )
        return connection.execute(statement).rowcount


def crawl_names(engine: Engine) -> list[str]:
    """The crawls, oldest first."""
    with reading(engine) as connection:
        query = sa.select(crawls.c.name).order_by(crawls.c.created_at, crawls.c.name)
        return list(connection.execute(query).scalars())


def require_crawl(engine: Engine, crawl: str) -> None:
    """Refuse a crawl that is not in the catalogue.

    Raises:
        InvalidRecord: there is none of that name; the message names those that there are.
    """
    names = crawl_names(engine)
    if crawl in names:
        return
    shown = ", ".join(names[-CRAWLS_NAMED:]) if names else "none yet"
    more = f" and {len(names) - CRAWLS_NAMED} older" if len(names) > CRAWLS_NAMED else ""
    raise InvalidRecord(f"there is no crawl {crawl!r}; the catalogue's crawls: {shown}{more}")


def counts_by_crawl(
    engine: Engine, crawl: str | None = None
) -> dict[str, dict[tuple[str, str | None], int]]:
    """For each crawl, rows by (status, reason)."""
    view = _SUMMARY
    query = sa.select(view.c.crawl, view.c.status, view.c.reason, sa.func.sum(view.c.rows))
    query = query.group_by(view.c.crawl, view.c.status, view.c.reason)
    if crawl is not None:
        query = query.where(view.c.crawl == crawl)
    found: dict[str, dict[tuple[str, str | None], int]] = {}
    with reading(engine) as connection:
        for name, status, reason, number in connection.execute(query):
            found.setdefault(name, {})[status, reason] = int(number)
    return dict(sorted(found.items()))


def oldest_pending_seconds(engine: Engine) -> float:
    """How long the first pending row of any crawl has waited; 0 when none waits."""
    table = catalogue
    waiting = [
        name
        for name, counted in counts_by_crawl(engine).items()
        if any(status == "pending" and number for (status, _), number in counted.items())
    ]
    ages = [0.0]
    with reading(engine) as connection:
        now = clocks.now(connection)
        for name in waiting:  # by the index of the pending rows: the first one, not all
            query = (
                sa.select(table.c.updated_at)
                .where(table.c.crawl == name, table.c.status == "pending")
                .order_by(table.c.id)
                .limit(1)
            )
            since = connection.execute(query).scalar_one_or_none()
            if since is not None:
                ages.append((now - since).total_seconds())
    return max(ages)


def stale_paths(
    engine: Engine, crawl: str, older_than_seconds: float, *, lost: bool = False
) -> Iterator[tuple[str, str | None]]:
    """(path, wanted model) of pending rows whose lease ran out longer ago than that.

    With `lost` also those that nobody holds and that have not changed for that long.
    """
    table, last = catalogue, 0
    while True:
        with reading(engine) as connection:
            before = clocks.now(connection) - timedelta(seconds=older_than_seconds)
            stale = table.c.claimed_until <= before
            if lost:
                unclaimed = sa.and_(table.c.claimed_by.is_(None), table.c.updated_at <= before)
                stale = sa.or_(stale, unclaimed)
            query = (
                sa.select(table.c.id, table.c.path, table.c.model_version)
                .where(table.c.crawl == crawl, table.c.status == "pending", table.c.id > last)
                .where(stale)
                .order_by(table.c.id)
                .limit(PATHS_A_PAGE)
            )
            page = connection.execute(query).all()
        for _, path, model_version in page:
            yield path, model_version
        if not page:
            return
        last = page[-1][0]


def reopen_rejected(engine: Engine, crawl: str, reason: str) -> list[str]:
    """Make the rows of `crawl` that were rejected for `reason` pending again; their paths."""
    chosen = sa.and_(catalogue.c.status == "rejected", catalogue.c.reason == reason)
    return _reopen(engine, crawl, chosen)


def release_quarantined(engine: Engine, crawl: str, paths: Sequence[str] = ()) -> list[str]:
    """Make quarantined rows of `crawl` pending again, those of `paths` or all; their paths."""
    chosen: sa.ColumnElement[bool] = catalogue.c.status == "quarantined"
    if paths:
        keys = [path_key(path) for path in paths]
        chosen = sa.and_(chosen, catalogue.c.path_key.in_(keys))
    return _reopen(engine, crawl, chosen)


def quarantined(engine: Engine, crawl: str | None = None) -> Iterator[tuple[str, str, int]]:
    """(crawl, path, attempts) of the pictures that killed their workers."""
    table = catalogue
    query = sa.select(table.c.crawl, table.c.path, table.c.attempts).where(
        table.c.status == "quarantined"
    )
    if crawl is not None:
        query = query.where(table.c.crawl == crawl)
    with reading(engine) as connection:
        yield from (tuple(row) for row in connection.execute(query.order_by(table.c.id)).all())


def _reopen(engine: Engine, crawl: str, chosen: sa.ColumnElement[bool]) -> list[str]:
    fresh = {"status": "pending", "reason": None, "attempts": 0, "deaths_alone": 0}
    with writing(engine) as connection:
        statement = sa.update(catalogue).where(catalogue.c.crawl == crawl, chosen)
        values = {**NO_LABEL, **fresh, "updated_at": clocks.now(connection)}
        changed = connection.execute(statement.values(**values).returning(catalogue.c.path))
        return list(changed.scalars())
