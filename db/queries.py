"""Asking the catalogue: a `Filter`, and what fits it, as plain dataclasses.

    from db.queries import Filter, rows
    from db.session import make_engine

    for row in rows(make_engine("catalogue.db"), Filter(label="shoes/female/*")):
        print(row.path, row.label, row.confidence)

Every value goes to the database as a bound parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.convert import ROW_NAMES
from db.labelling import matching
from db.models import catalogue, labels
from db.records import LabelEntry, Row
from db.session import reading

ROWS_A_FETCH = 1000


@dataclass(frozen=True)
class Filter:
    """Which rows. What is None asks for nothing; what is given must all hold."""

    label: str | None = None  # either way of writing it, * stands for anything
    category: str | None = None
    gender: str | None = None
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    crawl: str | None = None
    shop: str | None = None
    model_version: str | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None
    needs_review: bool | None = None
    labelled_after: datetime | None = None
    labelled_before: datetime | None = None


@dataclass(frozen=True)
class Count:
    """How many rows have this status and label (or reason), and how sure the model was."""

    status: str
    label: str | None
    reason: str | None
    rows: int
    mean_confidence: float | None


def rows(engine: Engine, wanted: Filter, *, limit: int | None = None) -> Iterator[Row]:
    """The rows that fit, in the order they were added, streamed in constant memory."""
    with reading(engine) as connection:
        columns = [catalogue.c[name] for name in ROW_NAMES]
        query = sa.select(*columns).where(*conditions(connection, wanted)).order_by(catalogue.c.id)
        if limit is not None:
            query = query.limit(limit)
        result = connection.execution_options(yield_per=ROWS_A_FETCH).execute(query)
        for values in result:
            yield Row(*values)


def count(engine: Engine, wanted: Filter) -> int:
    """How many rows fit."""
    with reading(engine) as connection:
        query = sa.select(sa.func.count()).select_from(catalogue)
        return int(connection.execute(query.where(*conditions(connection, wanted))).scalar_one())


def stats(engine: Engine, wanted: Filter | None = None) -> list[Count]:
    """Rows by status and label or reason, ordered by them."""
    table = catalogue
    names = (table.c.status, table.c.label, table.c.reason)
    query = sa.select(*names, sa.func.count(), sa.func.avg(table.c.confidence))
    with reading(engine) as connection:
        query = query.where(*conditions(connection, wanted or Filter()))
        found = connection.execute(query.group_by(*names)).all()
    made = [Count(*values) for values in found]
    return sorted(made, key=lambda c: (c.status, c.label or "", c.reason or ""))


def label_entries(connection: Connection) -> list[LabelEntry]:
    """The labels of all registered taxonomies."""
    names = ("label", "category", "gender", "type", "is_leaf")
    query = sa.select(*(labels.c[name] for name in names)).order_by(labels.c.label)
    return [LabelEntry(*values) for values in connection.execute(query)]


def conditions(connection: Connection, wanted: Filter) -> list[sa.ColumnElement[bool]]:
    """The WHERE of a filter; its parts hold together."""
    table = catalogue
    made: list[sa.ColumnElement[bool]] = []
    if any((wanted.label, wanted.category, wanted.gender, wanted.type)):
        meant = matching(
            label_entries(connection),
            label=wanted.label,
            category=wanted.category,
            gender=wanted.gender,
            type=wanted.type,
        )
        made.append(table.c.label.in_(sorted(meant)))
    for name in ("status", "reason", "crawl", "shop", "model_version"):
        value = getattr(wanted, name)
        if value is not None:
            made.append(table.c[name] == value)
    if wanted.min_confidence is not None:
        made.append(table.c.confidence >= wanted.min_confidence)
    if wanted.max_confidence is not None:
        made.append(table.c.confidence <= wanted.max_confidence)
    if wanted.needs_review is not None:
        made.append(table.c.needs_review == wanted.needs_review)
    if wanted.labelled_after is not None:
        made.append(table.c.labelled_at >= wanted.labelled_after)
    if wanted.labelled_before is not None:
        made.append(table.c.labelled_at < wanted.labelled_before)
    return made
