"""Filters of one to three facets, drawn by seed; a quarter of them match few rows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from benchmarks.catalogue_rows import show
from db.filters import conditions
from db.queries import Filter
from db.session import reading
from db.tables import catalogue as table

FILTERS, FEW, FEW_ROWS = 200, 50, 100
TIMES = ("labelled_after", "labelled_before")
KINDS = (
    *("label", "node", "crawl", "shop", "status", "reason", "model", "day"),
    *("needs_review", "corrected"),
)
Values = dict[str, Any]


def filters(engine: Engine, kept: Path, seed: int) -> list[Filter]:
    """The filters of a seed. They are drawn once and kept in a file: counting takes minutes."""
    if kept.exists():
        return [_restored(values) for values in json.loads(kept.read_text())]
    chance = random.Random(seed)
    lacking = {True: FEW, False: FILTERS - FEW}
    found: list[Filter] = []
    while any(lacking.values()):
        drawn = _draw(engine, chance)
        if drawn in found:
            continue
        few = _is_few(engine, drawn)
        if lacking[few]:
            lacking[few] -= 1
            found.append(drawn)
            show(f"{len(found)} of {FILTERS} filters drawn")
    chance.shuffle(found)
    kept.write_text(json.dumps([given(wanted) for wanted in found], indent=1, default=str))
    return found


def given(wanted: Filter) -> Values:
    """The conditions of a filter by field, without those that it leaves open."""
    values = {field.name: getattr(wanted, field.name) for field in fields(wanted)}
    return {name: value for name, value in values.items() if value is not None}


def _restored(values: Values) -> Filter:
    return Filter(
        **{
            name: datetime.fromisoformat(value) if name in TIMES else value
            for name, value in values.items()
        }
    )


def _draw(engine: Engine, chance: random.Random) -> Filter:
    """One to three facets of a row; every second row is one that failed or was corrected."""
    with reading(engine) as connection:
        last = connection.execute(sa.select(sa.func.max(table.c.id))).scalar_one()
        rows = sa.select(table).where(table.c.id >= chance.randrange(1, last + 1))
        if chance.random() < 0.5:
            special = [table.c.status != "labelled", table.c.human_label.isnot(None)]
            rows = rows.where(chance.choice(special))
        row = connection.execute(rows.order_by(table.c.id).limit(1)).first()
    if row is None:
        return _draw(engine, chance)
    possible = [kind for kind in KINDS if _facet(row, kind, lambda items: items[0])]
    chosen = chance.sample(possible, chance.randint(1, 3))
    values: Values = {}
    for kind in chosen:
        values |= _facet(row, kind, chance.choice)
    return Filter(**values)


def _facet(row: Row[Any], kind: str, choose: Callable[[Sequence[Any]], Any]) -> Values:
    """The condition on a facet that the row meets; empty if it has no such value."""
    if kind == "label":
        return {"label": row.label} if row.label else {}
    if kind == "node":  # a label of the tree with all below it
        names = row.label.split("/") if row.label else []
        depth = choose(range(1, len(names) + 1)) if names else 0
        return {"label": "/".join(names[:depth]) + "*"} if names else {}
    if kind == "day":
        if row.labelled_at is None:
            return {}
        day = row.labelled_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return {"labelled_after": day, "labelled_before": day + timedelta(days=1)}
    if kind == "needs_review":
        doubtful = bool(row.needs_review) and row.human_label is None
        return {"needs_review": doubtful} if row.status == "labelled" else {}
    if kind == "corrected":
        return {"corrected": row.human_label is not None}
    column = "model_version" if kind == "model" else kind
    value = getattr(row, column)
    return {column: value} if value is not None else {}


def _is_few(engine: Engine, wanted: Filter) -> bool:
    with reading(engine) as connection:
        some = sa.select(table.c.id).where(*conditions(connection, wanted)).limit(FEW_ROWS)
        rows = connection.execute(sa.select(sa.func.count()).select_from(some.subquery()))
        return bool(rows.scalar_one() < FEW_ROWS)
