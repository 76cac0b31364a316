"""Relabelling: trying another model on labelled rows, promoting its labels, switching back.

    relabels = open_relabels(engine)              # a Catalogue over the table `relabels`
    begin(engine, wanted, model)                  # select rows: they are pending in `relabels`
    run_shard(..., store=relabels)                # label them, in process or by the queue
    label_changes(engine, model)                  # old -> new, before anything changes
    promote(engine, model)                        # new labels in, old labels to the history

Until `promote`, everybody sees the old labels. Every step can be interrupted and started again:
finished rows are not selected or labelled twice, and promotion commits a thousand rows at a time.
`use` switches back to an earlier model.
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
from db.records import STATUSES, PendingRow
from db.session import reading, writing
from db.tables import (
    LABEL_COLUMNS,
    STATUS_LITERALS,
    catalogue,
    label_history,
    relabels,
    same_bytes,
    same_picture,
)
from db.writes import history, registry

ROWS_PER_TRANSACTION = 1000
SAMPLES = 3


@dataclass(frozen=True)
class LabelChange:
    """How many rows change from label `old` to `new` (may be equal), with sample paths."""

    old: str
    new: str
    rows: int
    samples: tuple[str, ...]


def open_relabels(engine: Engine) -> Catalogue:
    """A store for the pipeline that writes the new model's labels."""
    return Catalogue(engine, relabels)


def begin(engine: Engine, wanted: Filter, model: str) -> int:
    """Select the matching rows that another model labelled; return how many are pending."""
    store, last = open_relabels(engine), 0
    columns = [catalogue.c[name] for name in ("id", "crawl", "path", "size", "mtime")]
    while True:
        with reading(engine) as connection:
            query = (
                sa.select(*columns)
                .where(*conditions(connection, wanted), *_labelled_by_others(model))
                .where(catalogue.c.id > last)
                .order_by(catalogue.c.id)
                .limit(ROWS_PER_TRANSACTION)
            )
            selected = connection.execute(query).all()
        if not selected:
            return sum(pending_by_crawl(engine, model).values())
        for crawl in sorted({row.crawl for row in selected}):
            rows = [
                PendingRow(row.path, row.size, row.mtime) for row in selected if row.crawl == crawl
            ]
            store.add_pending(crawl, rows, model)
        last = selected[-1].id


def _labelled_by_others(model: str) -> tuple[sa.ColumnElement[bool], ...]:
    return catalogue.c.status == "labelled", catalogue.c.model_version != model


def pending_by_crawl(engine: Engine, model: str) -> dict[str, int]:
    """The number of rows that are pending for `model`, by crawl."""
    query = (
        sa.select(relabels.c.crawl, sa.func.count())
        .where(relabels.c.status == STATUS_LITERALS["pending"], relabels.c.model_version == model)
        .group_by(relabels.c.crawl)
    )
    with reading(engine) as connection:
        return {row[0]: int(row[1]) for row in connection.execute(query)}


def counts(engine: Engine, model: str) -> dict[str, int]:
    """The number of selected rows by status; 'labelled' rows can be promoted."""
    query = (
        sa.select(relabels.c.status, sa.func.count())
        .where(relabels.c.model_version == model)
        .group_by(relabels.c.status)
    )
    with reading(engine) as connection:
        found = {row[0]: int(row[1]) for row in connection.execute(query)}
    return {status: found.get(status, 0) for status in STATUSES}


def pending_paths(engine: Engine, crawl: str) -> Iterator[tuple[str, str | None]]:
    """(path, model version) of the selected rows of `crawl` that are still pending."""
    return ledger.pending_paths(engine, crawl, table=relabels)


def label_changes(engine: Engine, model: str, samples: int = SAMPLES) -> list[LabelChange]:
    """The pairs of old and new label, most frequent first; unchanged labels are included.

    Each has the paths of the `samples` rows with the lowest confidence of the new model.
    """
    relabelled = _relabelled(model)
    keys = (catalogue.c.model_label, relabels.c.model_label)
    number = sa.func.count()
    query = sa.select(*keys, number).select_from(relabelled).group_by(*keys)
    changes = []
    with reading(engine) as connection:
        for old, new, rows in connection.execute(query.order_by(number.desc(), *keys)).all():
            least_confident = (
                sa.select(catalogue.c.path)
                .select_from(relabelled)
                .where(catalogue.c.model_label == old, relabels.c.model_label == new)
                .order_by(relabels.c.confidence)
                .limit(samples)
            )
            paths = tuple(connection.execute(least_confident).scalars())
            changes.append(LabelChange(old, new, int(rows), paths))
    return changes


def _relabelled(model: str) -> sa.Join:
    """The labelled rows of the catalogue, each joined with the new label by `model`."""
    return catalogue.join(
        relabels,
        sa.and_(
            same_picture,
            relabels.c.model_version == model,
            relabels.c.status == "labelled",
            catalogue.c.status == "labelled",
        ),
    )


def promote(engine: Engine, model: str) -> int:
    """Replace labels with those of `model`; the old ones go to the history.

    Human labels stay. The model is marked as in use if any label was replaced. A row whose bytes
    have changed since is skipped, because it must be labelled, not relabelled.

    Returns:
        How many labels were replaced.
    """
    replaced = 0
    while True:
        with writing(engine) as connection:
            columns = [relabels.c[name].label(f"new_{name}") for name in LABEL_COLUMNS]
            query = (
                sa.select(catalogue.c.id, relabels.c.id.label("relabel"))
                .add_columns(same_bytes(relabels).label("same"), *columns)
                .select_from(_relabelled(model))
                .order_by(catalogue.c.path_key)
                .limit(ROWS_PER_TRANSACTION)
                .with_for_update()
            )
            found = connection.execute(query).all()
            if not found:
                if replaced:
                    registry.put_in_use(connection, model, clocks.now(connection))
                return replaced
            new_labels = {row.id: list(row[3:]) for row in found if row.same}
            _replace_labels(connection, new_labels)
            done = [row.relabel for row in found]
            connection.execute(sa.delete(relabels).where(relabels.c.id.in_(done)))
            replaced += len(new_labels)


def _replace_labels(connection: Connection, new_labels: dict[int, list[Any]]) -> None:
    """Set the `LABEL_COLUMNS` of catalogue rows, by id; the old labels go to the history."""
    now = clocks.now(connection)
    history.keep(connection, sorted(new_labels), now)
    update = sa.update(catalogue).where(catalogue.c.id == sa.bindparam("row_id"))
    update = update.values({name: sa.bindparam(f"new_{name}") for name in LABEL_COLUMNS})
    names = ["row_id", *(f"new_{name}" for name in LABEL_COLUMNS)]
    rows = [
        dict(zip(names, (row_id, *values), strict=True)) for row_id, values in new_labels.items()
    ]
    if rows:
        connection.execute(update, rows)


def discard(engine: Engine, model: str) -> int:
    """Delete the labels and pending rows of `model` that were not promoted; return how many."""
    with writing(engine) as connection:
        statement = sa.delete(relabels).where(relabels.c.model_version == model)
        return connection.execute(statement).rowcount


def use(engine: Engine, model: str) -> int:
    """Switch to `model`: promote its new labels and restore its earlier ones from the history.

    The labels that they replace go to the history, so this also switches back.

    Returns:
        How many labels were replaced.

    Raises:
        InvalidRecord: no such model version is registered.
    """
    with reading(engine) as connection:
        known = registry.versions(connection)
    if model not in known:
        raise InvalidRecord(f"expected a model out of {', '.join(known)}, received {model!r}")
    replaced = promote(engine, model) + _restore(engine, model)
    with writing(engine) as connection:
        registry.put_in_use(connection, model, clocks.now(connection))
    return replaced


def _restore(engine: Engine, model: str) -> int:
    """Restore the last label that `model` gave to each row; return how many."""
    latest = (
        sa.select(sa.func.max(label_history.c.id))
        .where(label_history.c.catalogue_id == catalogue.c.id)
        .where(label_history.c.model_version == model)
        .correlate(catalogue)
        .scalar_subquery()
    )
    restored, last = 0, 0
    columns = [label_history.c[name].label(f"old_{name}") for name in LABEL_COLUMNS]
    while True:
        with writing(engine) as connection:
            query = (
                sa.select(catalogue.c.id, *columns)
                .select_from(catalogue.join(label_history, label_history.c.id == latest))
                .where(*_labelled_by_others(model), same_bytes(label_history))
                .where(catalogue.c.id > last)
                .order_by(catalogue.c.id)
                .limit(ROWS_PER_TRANSACTION)
                .with_for_update(of=catalogue)
            )
            found = connection.execute(query).all()
            if not found:
                return restored
            _replace_labels(connection, {row[0]: list(row[1:]) for row in found})
            restored, last = restored + len(found), found[-1][0]
