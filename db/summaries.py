"""`stats`: the number of rows per label, from the counters wherever they suffice."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.errors import InvalidQuery
from db.filters import Condition, Filter, conditions, storable, wanted_labels
from db.session import reading
from db.tables import catalogue, catalogue_counted
from db.writes import registry

LEVEL = re.compile(r"level_([1-9]\d?)")
GROUPS = {"crawl": "crawl", "shop": "shop", "model": "model_version", "day": "day"}
_COUNTED_COLUMNS = ("status", "reason", "crawl", "shop", "model_version")
_COUNTED_FILTERS = {*_COUNTED_COLUMNS, "label", "category", "gender", "type", "levels"}


@dataclass(frozen=True)
class Count:
    """The number of rows with the same status, label and reason, and their mean confidence.

    `group` is the crawl, shop, model, day (UTC) or level if the rows were counted `by` one. A level
    is written with the levels above it: `kids/winter`.
    `mean_confidence` is None where no model gave a label.
    """

    group: str | None
    status: str
    label: str | None
    reason: str | None
    rows: int
    mean_confidence: float | None


def stats(
    engine: Engine,
    wanted: Filter | None = None,
    *,
    by: str | None = None,
    seconds: float | None = None,
) -> list[Count]:
    """Count rows by group, status, and label or reason; sorted by these.

    Filters on labels, status, reason, crawl, shop and model are answered by the counters, in a time
    independent of the number of rows. Any other filter counts the matching rows.

    Args:
        engine: The catalogue.
        wanted: Which rows; all if None.
        by: One of `GROUPS`, to count each crawl, shop, model or day separately, or `level_N`, to
            count the labels by their first N levels.
        seconds: The time limit of the query.

    Raises:
        InvalidQuery: `by` is none of these.
        QueryTooSlow: the count was stopped at its time limit.
    """
    if by is not None and (level := LEVEL.fullmatch(by)):
        return [
            _with_level(count, int(level[1])) for count in stats(engine, wanted, seconds=seconds)
        ]
    if by is not None and by not in GROUPS:
        groups = f"{', '.join(GROUPS)} or level_N"
        raise InvalidQuery(f"expected to count by {groups}, received {by!r}")
    wanted = wanted or Filter()
    group = None if by is None else GROUPS[by]
    given = {field.name for field in fields(wanted) if getattr(wanted, field.name) is not None}
    with reading(engine, seconds=seconds) as connection:
        query = _from_counters if given <= _COUNTED_FILTERS else _from_rows
        found = connection.execute(query(connection, wanted, group)).all()
    counts = [
        Count(
            name or None,
            status,
            label or None,
            reason or None,
            int(rows),
            None if confidence is None else float(confidence) / int(rows),
        )
        for name, status, label, reason, rows, confidence in found
        if rows
    ]
    return sorted(counts, key=lambda c: (c.group or "", c.status, c.label or "", c.reason or ""))


def _with_level(count: Count, depth: int) -> Count:
    """`count` in the group of the first `depth` levels of its label."""
    if count.label is None:
        return count
    return replace(count, group="/".join(count.label.split("/")[:depth]))


def seen_values(connection: Connection, name: str) -> list[str]:
    """The values of `shop`, `reason` or `model_version` of any row, sorted, from the counters.

    Among the models are also those that are registered and have no rows.
    """
    column = catalogue_counted.c[name]
    query = sa.select(column).where(column.isnot(None), column != "").distinct()
    found = set(connection.execute(query).scalars())
    if name == "model_version":
        found.update(registry.versions(connection))
    return sorted(found)


def sample_details(engine: Engine, wanted: Filter, counts: list[Count]) -> dict[str, str]:
    """For each reason among the rejected rows, the words of one decoder or system error."""
    reasons = sorted({c.reason for c in counts if c.status == "rejected" and c.reason})
    found: dict[str, str] = {}
    with reading(engine) as connection:
        where = conditions(connection, wanted)
        for reason in reasons:
            query = sa.select(catalogue.c.detail).where(
                *where, catalogue.c.reason == reason, catalogue.c.detail.isnot(None)
            )
            words = connection.execute(query.limit(1)).scalar()
            if words is not None:
                found[reason] = str(words)
    return found


def _from_counters(connection: Connection, wanted: Filter, group: str | None) -> sa.Select[Any]:
    table = catalogue_counted
    where: list[Condition] = []
    for name in _COUNTED_COLUMNS:
        value = getattr(wanted, name)
        if value is not None:
            where.append(table.c[name] == value if value and storable(value) else sa.false())
    labels = wanted_labels(connection, wanted)
    if labels is not None:
        where.append(table.c.label.in_(labels))
    column = None if group is None else table.c[group]
    keys = [table.c.status, table.c.label, table.c.reason]
    sums = sa.func.sum(table.c.rows), sa.func.sum(table.c.sum_confidence)
    return _grouped(column, keys, sums).where(*where)


def _from_rows(connection: Connection, wanted: Filter, group: str | None) -> sa.Select[Any]:
    table = catalogue
    column: sa.ColumnElement[Any] | None = None
    if group is not None:
        column = _day(connection) if group == "day" else table.c[group]
    keys = [table.c.status, table.c.label, table.c.reason]
    sums = sa.func.count(), sa.func.sum(table.c.confidence)
    return _grouped(column, keys, sums).where(*conditions(connection, wanted))


def _grouped(
    column: sa.ColumnElement[Any] | None,
    keys: list[Any],
    sums: tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]],
) -> sa.Select[Any]:
    """A row for each group: `column` (or ''), `keys`, rows, sum of confidences if labelled."""
    rows, confidence = sums
    status = keys[0]
    groups = keys if column is None else [column, *keys]
    return sa.select(
        sa.literal("") if column is None else column,
        *keys,
        rows,
        sa.case((status == "labelled", confidence)),
    ).group_by(*groups)


def _day(connection: Connection) -> sa.ColumnElement[Any]:
    """The UTC day of `labelled_at`, as text."""
    if connection.dialect.name == "sqlite":
        return sa.func.substr(sa.cast(catalogue.c.labelled_at, sa.Text), 1, 10)
    at_utc = sa.func.timezone("UTC", catalogue.c.labelled_at)
    return sa.func.to_char(at_utc, sa.literal_column("'YYYY-MM-DD'"))
