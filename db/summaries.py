"""How many rows have which label: `stats`, from the counters where they know the answer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.errors import InvalidQuery
from db.filters import Condition, Filter, conditions, storable, wanted_labels
from db.session import reading
from db.tables import catalogue, catalogue_counted, effective_label

GROUPS = {"crawl": "crawl", "shop": "shop", "model": "model_version", "day": "day"}
_KNOWN_TO_COUNTERS = {"label", "category", "gender", "type", "status", "reason"} | {
    "crawl",
    "shop",
    "model_version",
}


@dataclass(frozen=True)
class Count:
    """How many rows are alike, and how sure the model was of them (None where it said nothing).

    `group` is the crawl, shop, model or day (UTC) when the rows were counted `by` one.
    """

    group: str | None
    status: str
    label: str | None
    reason: str | None
    rows: int
    mean_confidence: float | None


def stats(engine: Engine, wanted: Filter | None = None, *, by: str | None = None) -> list[Count]:
    """Rows by group, status, and label or reason, ordered by these.

    A filter on labels, status, reason, crawl, shop and model is answered by the counters, in a
    time that does not depend on the number of rows; any other counts the rows that fit.

    Raises:
        InvalidQuery: `by` is not one of `GROUPS`.
    """
    if by is not None and by not in GROUPS:
        raise InvalidQuery(f"expected to count by {', '.join(GROUPS)}, received {by!r}")
    asked = wanted or Filter()
    group = None if by is None else GROUPS[by]
    given = {field.name for field in fields(asked) if getattr(asked, field.name) is not None}
    with reading(engine) as connection:
        if given <= _KNOWN_TO_COUNTERS:
            query = _from_counters(connection, asked, group)
        else:
            query = _from_rows(connection, asked, group)
        found = connection.execute(query).all()
    made = [
        Count(g or None, status, label or None, reason or None, int(number), _mean(sure, number))
        for g, status, label, reason, number, sure in found
        if number
    ]
    return sorted(made, key=lambda c: (c.group or "", c.status, c.label or "", c.reason or ""))


def _mean(total: float | None, number: int) -> float | None:
    return None if total is None else float(total) / int(number)


def _from_counters(connection: Connection, wanted: Filter, group: str | None) -> sa.Select[Any]:
    table = catalogue_counted
    made: list[Condition] = []
    for name in ("status", "reason", "crawl", "shop", "model_version"):
        value = getattr(wanted, name)
        if value is not None:
            made.append(table.c[name] == value if value and storable(value) else sa.false())
    labels = wanted_labels(connection, wanted)
    if labels is not None:
        made.append(table.c.label.in_(labels))
    keys = [
        sa.literal("") if group is None else table.c[group],
        table.c.status,
        table.c.label,
        table.c.reason,
    ]
    sure = sa.case((table.c.status == "labelled", sa.func.sum(table.c.sum_confidence)))
    grouped = keys[1:] if group is None else keys
    return sa.select(*keys, sa.func.sum(table.c.rows), sure).where(*made).group_by(*grouped)


def _from_rows(connection: Connection, wanted: Filter, group: str | None) -> sa.Select[Any]:
    table = catalogue
    column: sa.ColumnElement[Any] = sa.literal("")
    if group == "day":
        column = _day(connection)
    elif group is not None:
        column = table.c[group]
    keys = [column, table.c.status, effective_label, table.c.reason]
    sure = sa.case((table.c.status == "labelled", sa.func.sum(table.c.confidence)))
    grouped = keys[1:] if group is None else keys
    return (
        sa.select(*keys, sa.func.count(), sure)
        .where(*conditions(connection, wanted))
        .group_by(*grouped)
    )


def _day(connection: Connection) -> sa.ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return sa.func.substr(sa.cast(catalogue.c.labelled_at, sa.Text), 1, 10)
    at_utc = sa.func.timezone("UTC", catalogue.c.labelled_at)
    return sa.func.to_char(at_utc, sa.literal_column("'YYYY-MM-DD'"))
