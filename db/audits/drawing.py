"""What an audit draws from: the labels of a crawl, counted, and a sample of them by seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.errors import InvalidQuery
from db.session import reading
from db.tables import catalogue

ROWS_PER_FETCH = 5000
ALL, ALL_SURE = "*", "*sure"  # keys of `sizes` that draw from all labels, or from all sure ones
SNAPSHOT = ("model_label", "best_leaf", "confidence")


@dataclass(frozen=True)
class Counted:
    """The labels of a stratum: one label of the model, sure or not.

    `at_least` counts them by confidence, for each of the asked confidences.
    """

    label: str
    sure: bool
    rows: int
    at_least: tuple[int, ...] = ()


def counted(
    engine: Engine, crawl: str, model_version: str | None = None, steps: Sequence[float] = ()
) -> tuple[str, list[Counted]]:
    """The model that labelled a crawl, and its labels, counted by stratum.

    Args:
        engine: The catalogue.
        crawl: Its name.
        model_version: Only labels of this model. None: the crawl must have labels of one only.
        steps: Confidences for `Counted.at_least`.

    Raises:
        InvalidQuery: the crawl has no label of the model, or labels of several models.
    """
    with reading(engine) as connection:
        version = _only_model(connection, crawl, model_version)
        sure = sa.not_(catalogue.c.needs_review)
        above = [sa.func.sum(sa.case((catalogue.c.confidence >= low, 1), else_=0)) for low in steps]
        query = (
            sa.select(catalogue.c.model_label, sure, sa.func.count(), *above)
            .where(*_labelled(crawl, version))
            .group_by(catalogue.c.model_label, sure)
        )
        found = [
            Counted(label, bool(is_sure), int(rows), tuple(map(int, numbers)))
            for label, is_sure, rows, *numbers in connection.execute(query)
        ]
    return version, sorted(found, key=lambda one: (one.label, one.sure))


def drawn(
    connection: Connection, crawl: str, model_version: str, sizes: Mapping[str, int], seed: int
) -> list[dict[str, Any]]:
    """A sample without replacement; each row of a stratum is equally likely.

    The same rows for the same seed and the same labels. Two passes in the caller's snapshot, in
    constant memory.

    Args:
        connection: A transaction.
        crawl: The crawl to draw from.
        model_version: The model whose labels are drawn.
        sizes: How many rows of each stratum; the names are `ALL`, `ALL_SURE` and those of `key`.
        seed: Of the drawing.
    """
    totals = Counter[str]()
    for _, label, sure in _rows(connection, crawl, model_version):
        totals.update(_groups(label, sure, sizes))
    source = random.Random(seed)
    wanted: dict[str, dict[int, int]] = {}
    for group in sorted(sizes):
        places = source.sample(range(totals[group]), min(sizes[group], totals[group]))
        wanted[group] = {place: order for order, place in enumerate(places)}
    seen, ids = Counter[str](), list[tuple[str, int, int]]()
    for row_id, label, sure in _rows(connection, crawl, model_version):
        for group in _groups(label, sure, sizes):
            order = wanted[group].get(seen[group])
            seen[group] += 1
            if order is not None:
                ids.append((group, order, row_id))
    columns = [catalogue.c[name] for name in ("id", *SNAPSHOT, "needs_review")]
    found = []
    for group, order, row_id in sorted(ids):
        query = sa.select(*columns).where(catalogue.c.id == row_id)
        row = connection.execute(query).mappings().one()
        found.append({**row, "group": group, "order": order})
    return found


def key(label: str, sure: bool) -> str:
    """The stratum of a label in `sizes`."""
    return f"{label} {'sure' if sure else 'unsure'}"


def _groups(label: str, sure: bool, sizes: Mapping[str, int]) -> list[str]:
    names = [ALL, key(label, sure), *([ALL_SURE] if sure else [])]
    return [name for name in names if name in sizes]


def _rows(
    connection: Connection, crawl: str, model_version: str
) -> Iterator[tuple[int, str, bool]]:
    query = (
        sa.select(catalogue.c.id, catalogue.c.model_label, catalogue.c.needs_review)
        .where(*_labelled(crawl, model_version))
        .order_by(catalogue.c.id)
    )
    # for this query only: as an option of the connection, it would hold for the writes that follow
    streamed = {"yield_per": ROWS_PER_FETCH}
    with connection.execute(query, execution_options=streamed) as result:
        for row_id, label, needs_review in result:
            yield row_id, label, not needs_review


def _labelled(crawl: str, model_version: str) -> list[sa.ColumnElement[bool]]:
    return [
        catalogue.c.crawl == crawl,
        catalogue.c.status == "labelled",
        catalogue.c.model_version == model_version,
    ]


def _only_model(connection: Connection, crawl: str, asked: str | None) -> str:
    query = (
        sa.select(catalogue.c.model_version, sa.func.count())
        .where(catalogue.c.crawl == crawl, catalogue.c.status == "labelled")
        .group_by(catalogue.c.model_version)
    )
    found = {str(version): int(rows) for version, rows in connection.execute(query)}
    if not found:
        raise InvalidQuery(f"crawl {crawl!r} has no labelled picture: label it first")
    models = ", ".join(f"{version} ({rows:,} rows)" for version, rows in sorted(found.items()))
    fitting = [version for version in found if asked is None or version.startswith(asked)]
    if len(fitting) != 1:
        received = "none was named" if asked is None else f"received {asked!r}"
        raise InvalidQuery(
            f"expected one model whose labels to audit; crawl {crawl!r} has labels of {models}, "
            f"{received}: name one with --model-version, or label all with one: relabel"
        )
    return fitting[0]
