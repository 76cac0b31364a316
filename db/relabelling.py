"""A new model: what it says of labelled rows is kept apart in `relabels` until it is promoted.

    relabels = open_relabels(engine)              # a Catalogue over the table `relabels`
    begin(engine, wanted, model)                  # choose rows; the pipeline then works on them
    run_shard(..., store=relabels)                # in process or by the queue, as ever
    flow(engine, model)                           # old -> new, before anything is changed
    promote(engine, model)                        # old labels to the history

People go on seeing the old labels meanwhile. Every step can be killed and begun again: rows that
are done are not chosen or worked twice, and promotion moves a thousand rows a transaction.
`restore` is the way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks, ledger
from db.catalogue import Catalogue
from db.errors import InvalidRecord
from db.filters import Filter, conditions
from db.records import STATUSES, PendingRow, Row
from db.session import reading, writing
from db.tables import (
    LABEL_COLUMNS,
    STATUS_LITERALS,
    catalogue,
    label_history,
    model_versions,
    relabels,
)
from db.writes import history, registry
from db.writes.row_values import ROW_NAMES

ROWS_A_TRANSACTION = 1000
SAMPLES = 3


@dataclass(frozen=True)
class Flow:
    """How many rows go from one label to another, with a few of their paths."""

    old: str
    new: str
    rows: int
    samples: tuple[str, ...]


def open_relabels(engine: Engine) -> Catalogue:
    """A store for the pipeline whose rows are what the new model says."""
    return Catalogue(engine, relabels)


def begin(engine: Engine, wanted: Filter, model: str) -> int:
    """Choose the labelled rows that fit and that `model` has not labelled; how many wait now."""
    store, last = open_relabels(engine), 0
    while True:
        with reading(engine) as connection:
            chosen = _page(connection, wanted, model, last)
        if not chosen:
            return sum(waiting(engine, model).values())
        for crawl in sorted({row.crawl for row in chosen}):
            rows = [
                PendingRow(row.path, row.size, row.mtime) for row in chosen if row.crawl == crawl
            ]
            store.add_pending(crawl, rows, model)
        last = chosen[-1].id


def _page(connection: Connection, wanted: Filter, model: str, last: int) -> list[Row]:
    query = (
        sa.select(*(catalogue.c[name] for name in ROW_NAMES))
        .where(*conditions(connection, wanted))
        .where(catalogue.c.status == "labelled", catalogue.c.model_version != model)
        .where(catalogue.c.id > last)
        .order_by(catalogue.c.id)
        .limit(ROWS_A_TRANSACTION)
    )
    return [Row(*values) for values in connection.execute(query)]


def waiting(engine: Engine, model: str) -> dict[str, int]:
    """Rows that still wait for `model`, by crawl."""
    query = (
        sa.select(relabels.c.crawl, sa.func.count())
        .where(relabels.c.status == STATUS_LITERALS["pending"], relabels.c.model_version == model)
        .group_by(relabels.c.crawl)
    )
    with reading(engine) as connection:
        return {row[0]: int(row[1]) for row in connection.execute(query)}


def progress(engine: Engine, model: str) -> dict[str, int]:
    """How a relabelling stands: rows by status; 'labelled' ones wait to be promoted."""
    query = (
        sa.select(relabels.c.status, sa.func.count())
        .where(relabels.c.model_version == model)
        .group_by(relabels.c.status)
    )
    with reading(engine) as connection:
        found = {row[0]: int(row[1]) for row in connection.execute(query)}
    return {status: found.get(status, 0) for status in STATUSES}


def pending_paths(engine: Engine, crawl: str) -> Iterator[tuple[str, str | None]]:
    """(path, model) of the rows of `crawl` that wait for a new model."""
    return ledger.pending_paths(engine, crawl, table=relabels)


def flow(engine: Engine, model: str, samples: int = SAMPLES) -> list[Flow]:
    """Where `model` says something else or the same, most rows first.

    Each with the paths of the `samples` rows that the new model is least sure of.
    """
    both = _both(model)
    keys = (catalogue.c.label, relabels.c.label)
    number = sa.func.count()
    query = sa.select(*keys, number).select_from(both).group_by(*keys)
    made = []
    with reading(engine) as connection:
        for old, new, rows in connection.execute(query.order_by(number.desc(), *keys)).all():
            least_sure = (
                sa.select(catalogue.c.path)
                .select_from(both)
                .where(catalogue.c.label == old, relabels.c.label == new)
                .order_by(relabels.c.confidence)
                .limit(samples)
            )
            paths = tuple(connection.execute(least_sure).scalars())
            made.append(Flow(old, new, int(rows), paths))
    return made


def _both(model: str) -> sa.Join:
    """The labelled rows of the catalogue, each beside what `model` says of it."""
    return catalogue.join(
        relabels,
        sa.and_(
            relabels.c.crawl == catalogue.c.crawl,
            relabels.c.path_key == catalogue.c.path_key,
            relabels.c.model_version == model,
            relabels.c.status == "labelled",
            catalogue.c.status == "labelled",
        ),
    )


def promote(engine: Engine, model: str) -> int:
    """Put what `model` says in the place of the old labels, which go to the history.

    What people said stays. Where a row took a new label, the model is in use then. Returns how many
    rows changed hands; a row whose bytes changed since it was labelled is left out, for it needs
    labelling, not relabelling.
    """
    moved = 0
    while True:
        with writing(engine) as connection:
            names = [f"new_{name}" for name in LABEL_COLUMNS]
            columns = [relabels.c[n].label(f"new_{n}") for n in LABEL_COLUMNS]
            query = (
                sa.select(catalogue.c.id, relabels.c.id.label("relabel"), *columns)
                .add_columns(_same_bytes().label("same"))
                .select_from(_both(model))
                .order_by(catalogue.c.path_key)
                .limit(ROWS_A_TRANSACTION)
                .with_for_update()
            )
            found = connection.execute(query).mappings().all()
            if not found:
                if moved:
                    registry.put_in_use(connection, model, clocks.now(connection))
                return moved
            same = [row for row in found if row["same"]]
            _take_over(connection, {row["id"]: [row[n] for n in names] for row in same})
            gone = [row["relabel"] for row in found]
            connection.execute(sa.delete(relabels).where(relabels.c.id.in_(gone)))
            moved += len(same)


def _same_bytes() -> sa.ColumnElement[bool]:
    old, new = catalogue.c.content_hash, relabels.c.content_hash
    return sa.or_(old.is_(None), new.is_(None), old == new)


def _take_over(connection: Connection, values: dict[int, list[Any]]) -> None:
    """Give catalogue rows other labels, the old ones kept in the history."""
    now = clocks.now(connection)
    history.keep(connection, sorted(values), now)
    update = sa.update(catalogue).where(catalogue.c.id == sa.bindparam("row_id"))
    update = update.values({name: sa.bindparam(f"new_{name}") for name in LABEL_COLUMNS})
    rows = [
        {
            "row_id": row_id,
            **{f"new_{n}": v for n, v in zip(LABEL_COLUMNS, labels, strict=True)},
        }
        for row_id, labels in values.items()
    ]
    if rows:
        connection.execute(update, rows)


def discard(engine: Engine, model: str) -> int:
    """Forget what `model` said and was to say, where it was not promoted."""
    with writing(engine) as connection:
        statement = sa.delete(relabels).where(relabels.c.model_version == model)
        return connection.execute(statement).rowcount


def use(engine: Engine, model: str) -> int:
    """Make `model` the one in use: promote what it said, and give back what it said before.

    Going back to an earlier model is the same: rows that it had labelled take those labels again,
    the newer ones go to the history. Returns how many rows changed hands.

    Raises:
        InvalidRecord: no such model is registered.
    """
    with reading(engine) as connection:
        known = list(connection.execute(sa.select(model_versions.c.version)).scalars())
    if model not in known:
        raise InvalidRecord(f"expected a model out of {', '.join(known)}, received {model!r}")
    moved = promote(engine, model) + _restore(engine, model)
    with writing(engine) as connection:
        registry.put_in_use(connection, model, clocks.now(connection))
    return moved


def _restore(engine: Engine, model: str) -> int:
    """Rows that `model` had labelled take the last of those labels again."""
    latest = (
        sa.select(sa.func.max(label_history.c.id))
        .where(label_history.c.catalogue_id == catalogue.c.id)
        .where(label_history.c.model_version == model)
        .correlate(catalogue)
        .scalar_subquery()
    )
    moved, last = 0, 0
    columns = [label_history.c[name].label(f"old_{name}") for name in LABEL_COLUMNS]
    same = sa.or_(
        label_history.c.content_hash.is_(None),
        catalogue.c.content_hash.is_(None),
        label_history.c.content_hash == catalogue.c.content_hash,
    )
    while True:
        with writing(engine) as connection:
            query = (
                sa.select(catalogue.c.id, *columns)
                .select_from(catalogue.join(label_history, label_history.c.id == latest))
                .where(catalogue.c.status == "labelled", catalogue.c.model_version != model)
                .where(catalogue.c.id > last, same)
                .order_by(catalogue.c.id)
                .limit(ROWS_A_TRANSACTION)
                .with_for_update(of=catalogue)
            )
            found = connection.execute(query).all()
            if not found:
                return moved
            _take_over(connection, {row[0]: list(row[1:]) for row in found})
            moved, last = moved + len(found), found[-1][0]
