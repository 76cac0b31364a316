"""`batches`: what was done lately. `progress`: how much of a filter is corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks
from db.errors import QueryTooSlow
from db.filters import Condition, Filter, conditions
from db.session import reading
from db.summaries import stats
from db.tables import catalogue, corrections

PACE = timedelta(hours=1)
_BATCH = corrections.c.batch


@dataclass(frozen=True)
class Batch:
    """An action in the log.

    `labels` are those that its rows got, most frequent first; None: a human label was withdrawn.
    `undone` is how many of its `rows` an undo took back since, `undoes` the batch that this one
    took back.
    """

    batch: str
    by: str
    at: datetime
    rows: int
    labels: tuple[str | None, ...]
    undone: int
    undoes: str | None = None


@dataclass(frozen=True)
class Progress:
    """Of `total` rows, `corrected` have a human label, of which `last_hour` since an hour ago.

    `total` is None if it was not counted within the time limit.
    """

    corrected: int
    total: int | None
    last_hour: int


def batches(
    engine: Engine, by: str | None = None, limit: int = 50, *, seconds: float | None = None
) -> list[Batch]:
    """The last batches, newest first; of one person with `by`.

    Corrections of before schema 0009, and withdrawals because a file changed, have no batch.

    Raises:
        QueryTooSlow: stopped at the time limit, `seconds`.
    """
    newest = (
        sa.select(
            _BATCH,
            sa.func.min(corrections.c.corrected_by),
            sa.func.min(corrections.c.corrected_at),
            sa.func.count(),
            sa.func.min(corrections.c.undoes),
        )
        .where(_BATCH.isnot(None))
        .group_by(_BATCH)
        .order_by(_BATCH.desc())
        .limit(limit)
    )
    if by is not None:
        newest = newest.where(corrections.c.corrected_by == by)
    with reading(engine, seconds=seconds) as connection:
        found = connection.execute(newest).all()
        names = [row[0] for row in found]
        labels = _labels(connection, names)
        undone = _undone(connection, names)
    return [
        Batch(name, who, at, int(rows), labels[name], undone[name], undoes)
        for name, who, at, rows, undoes in found
    ]


def _labels(connection: Connection, names: Sequence[str]) -> dict[str, tuple[str | None, ...]]:
    query = (
        sa.select(_BATCH, corrections.c.to_label)
        .where(_BATCH.in_(names))
        .group_by(_BATCH, corrections.c.to_label)
        .order_by(sa.func.count().desc(), corrections.c.to_label)
    )
    found: dict[str, tuple[str | None, ...]] = dict.fromkeys(names, ())
    for name, label in connection.execute(query):
        found[name] += (label,)
    return found


def _undone(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """How many rows of each batch are taken back now: an undo that was undone does not count."""
    undos: dict[str, list[tuple[str, int]]] = {}
    known, asked = set(names), set(names)
    while asked:
        query = (
            sa.select(corrections.c.undoes, _BATCH, sa.func.count())
            .where(corrections.c.undoes.in_(asked))
            .group_by(corrections.c.undoes, _BATCH)
        )
        found = connection.execute(query).all()
        for undoes, name, rows in found:
            undos.setdefault(undoes, []).append((name, int(rows)))
        asked = {name for _, name, _ in found} - known
        known |= asked
    return {name: _taken_back(name, undos) for name in names}


def _taken_back(name: str, undos: Mapping[str, Sequence[tuple[str, int]]]) -> int:
    return sum(rows - _taken_back(undo, undos) for undo, rows in undos.get(name, ()))


def progress(engine: Engine, wanted: Filter, *, seconds: float | None = None) -> Progress:
    """How much of a filter is corrected.

    A row leaves the filter "needs review" when it is corrected, and here it still counts:
    `needs_review` means what the model said, and `corrected` is left out. Any other filter is taken
    as it is: a row whose label was changed no longer matches its old label.

    Raises:
        QueryTooSlow: the corrected rows were not counted within the time limit, `seconds`. They are
            few, and have an index of their own; of all rows, the count may take longer.
    """
    rest = replace(wanted, needs_review=None, corrected=None)
    with reading(engine, seconds=seconds) as connection:
        where = [*conditions(connection, rest), *_as_the_model_said(wanted.needs_review)]
        rows = sa.select(sa.func.count()).select_from(catalogue).where(*where)
        # Corrected rows first, then their other conditions by id: of 1 million rows on SQLite, the
        # index of another condition took 55 s, because it leads to almost every row.
        person = catalogue.alias("person")
        matches = sa.exists().where(catalogue.c.id == person.c.id, *where)
        people = sa.select(sa.func.count()).select_from(person)
        people = people.where(person.c.human_label.isnot(None), matches)
        corrected = int(connection.execute(people).scalar_one())
        since = clocks.now(connection) - PACE
        stands = sa.exists().where(
            catalogue.c.id == corrections.c.catalogue_id,
            catalogue.c.human_label.isnot(None),
            *where,
        )
        lately = sa.select(sa.func.count(corrections.c.catalogue_id.distinct())).where(
            corrections.c.corrected_at >= since, stands
        )
        last_hour = int(connection.execute(lately).scalar_one())
    total = None
    with suppress(QueryTooSlow):
        if wanted.needs_review is None:  # mostly from the counters
            total = sum(count.rows for count in stats(engine, rest, seconds=seconds))
        else:
            with reading(engine, seconds=seconds) as connection:
                total = int(connection.execute(rows).scalar_one())
    return Progress(corrected, total, last_hour)


def _as_the_model_said(needs_review: bool | None) -> list[Condition]:
    if needs_review is None:
        return []
    if needs_review:
        return [catalogue.c.needs_review]
    return [catalogue.c.status == "labelled", sa.not_(catalogue.c.needs_review)]


def corrected_products(
    engine: Engine, wanted: Filter, most: int, *, seconds: float | None = None
) -> int:
    """Of how many different products a crawl or shop has corrections; `most` stands for more.

    Only `crawl` and `shop` of the filter count: they are what a model is adapted to. Pictures
    without a product id are one product if their bytes are the same.

    Raises:
        QueryTooSlow: stopped at the time limit, `seconds`.
    """
    rest = Filter(crawl=wanted.crawl, shop=wanted.shop, corrected=True)
    own = sa.func.coalesce(catalogue.c.content_hash, sa.cast(catalogue.c.id, sa.Text))
    is_product = catalogue.c.product_id.isnot(None)
    key = [
        sa.case((is_product, catalogue.c.shop)).label("shop"),
        sa.case((is_product, catalogue.c.product_id), else_=own).label("name"),
        is_product.label("is_product"),
    ]
    with reading(engine, seconds=seconds) as connection:
        where = [*conditions(connection, rest), catalogue.c.status == "labelled"]
        found = sa.select(*key).where(*where).distinct().limit(most).subquery()
        return int(connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one())
