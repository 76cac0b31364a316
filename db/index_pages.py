"""First pages in order of id, out of an index, whatever the size of the table.

A *run* is the part of an index over (column, id) that has one value of the column: there the ids
stand in order. A filter's page is made of the first ids of a run, or of the runs of all the labels
that a pattern means, merged. Two things keep what is read small where filters are combined:

- the rows of a crawl were added together, so the ids between its first and its last bound the
  search whatever else is asked for (`span_of`);
- what is frequent stands among any few thousand rows, so these are looked at first, and only a
  page that they do not fill goes to the runs (`near`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.filters import (
    FAILED_ROWS,
    FAILED_STATUSES,
    STATUS_VALUES,
    Condition,
    Filter,
    conditions,
    storable,
    wanted_labels,
)
from db.tables import catalogue, effective_label

# more labels than this are looked up as one set: taxonomies are far smaller
VALUES_APART = 100
ROWS_NEAR = 2000
_ID = catalogue.c.id


@dataclass(frozen=True)
class Span:
    """The ids to look at: those between the two, without them; None for no bound."""

    above: int | None = None
    below: int | None = None

    def conditions(self) -> list[Condition]:
        made: list[Condition] = []
        if self.above is not None:
            made.append(self.above < _ID)
        if self.below is not None:
            made.append(self.below > _ID)
        return made

    def beyond(self, after: int | None, *, down: bool) -> Span:
        """What of it comes after the id `after`, in the order up or down."""
        if after is None:
            return self
        if down:
            return Span(self.above, after if self.below is None else min(after, self.below))
        return Span(after if self.above is None else max(after, self.above), self.below)


@dataclass(frozen=True)
class Order:
    """How many ids of a span, upwards from its beginning or downwards from its end."""

    span: Span
    limit: int
    down: bool


def span_of(connection: Connection, wanted: Filter) -> Span:
    """The ids among which the rows that fit stand, as far as the filter's crawl tells."""
    if wanted.crawl is None or not storable(wanted.crawl):
        return Span()
    first, last = (
        connection.execute(_ids(connection, catalogue.c.crawl, wanted.crawl, [], how))
        .scalars()
        .first()
        for how in (Order(Span(), 1, down=False), Order(Span(), 1, down=True))
    )
    return Span(0, 0) if first is None or last is None else Span(first - 1, last + 1)


def near(
    connection: Connection, wanted: Filter, span: Span, *, down: bool
) -> list[Condition] | None:
    """The conditions of the rows that fit and stand near the beginning; None: not worth a look."""
    whole = wanted.path is not None and "*" not in wanted.path
    if not ROWS_NEAR or whole or wanted.content_hash is not None:
        return None  # some few rows, which their index finds at once
    run = runs_of(connection, wanted)
    if len(run.values) <= 1 and not conditions(connection, wanted, without=(run.name,)):
        return None
    query = sa.select(_ID).where(*span.conditions()).order_by(_ID.desc() if down else _ID)
    last = connection.execute(query.limit(1).offset(ROWS_NEAR - 1)).scalars().first()
    if last is None:
        return None
    part = Span(last - 1, span.below) if down else Span(span.above, last + 1)
    return [*conditions(connection, wanted), *part.conditions()]


@dataclass(frozen=True)
class Runs:
    """What is answered by runs: the filter's name, its column and values, the index's own words."""

    name: str
    column: sa.ColumnElement[Any]
    values: Sequence[Any] = ()
    partial: tuple[Any, ...] = ()


def runs_of(connection: Connection, wanted: Filter) -> Runs:
    """The filter that leaves the fewest rows, as a rule: few failed, and shops are many."""
    if wanted.reason is not None and storable(wanted.reason):
        return Runs("reason", catalogue.c.reason, [wanted.reason])
    if wanted.status in FAILED_STATUSES:
        return Runs("status", catalogue.c.status, [STATUS_VALUES[wanted.status]], (FAILED_ROWS,))
    if wanted.shop is not None and storable(wanted.shop):
        return Runs("shop", catalogue.c.shop, [wanted.shop])
    labels = wanted_labels(connection, wanted)
    if labels is not None:
        return Runs("label", effective_label, labels)
    if wanted.crawl is not None and storable(wanted.crawl):
        return Runs("crawl", catalogue.c.crawl, [wanted.crawl])
    return Runs("", _ID)


def first_ids(
    connection: Connection, wanted: Filter, span: Span, limit: int, *, down: bool
) -> sa.Subquery | None:
    """The ids of the first `limit` rows that fit, out of runs; None where no run answers."""
    run, how = runs_of(connection, wanted), Order(span, limit, down)
    if not run.values or len(run.values) > VALUES_APART:
        return None
    rest = [*run.partial, *_unindexed(connection, wanted, run.name)]
    runs = [_ids(connection, run.column, value, rest, how).subquery() for value in run.values]
    together = sa.union_all(*(sa.select(run.c.id) for run in runs)).subquery("together")
    way = together.c.id.desc() if down else together.c.id.asc()
    return sa.select(together.c.id).order_by(way).limit(limit).subquery("first")


def _unindexed(connection: Connection, wanted: Filter, name: str) -> list[Condition]:
    """The conditions but that on `name`: crawl, and a shop's labels, in words that no index has.

    A planner that knows little of a new crawl, or of an index made since its last ANALYZE, would
    take that for each run, and read all of the crawl or of the labels.
    """
    hidden = ("crawl", "label") if name == "shop" else ("crawl",)
    made = conditions(connection, wanted, without=(name, *hidden))
    if wanted.crawl is not None and name != "crawl":
        made.append(catalogue.c.crawl.concat("") == wanted.crawl)
    labels = wanted_labels(connection, wanted) if "label" in hidden else None
    if labels is not None:
        made.append(effective_label.concat("").in_(labels))
    return made


def _ids(
    connection: Connection,
    column: sa.ColumnElement[Any],
    value: Any,
    rest: Sequence[Condition],
    how: Order,
) -> sa.Select[Any]:
    """The ids of the first rows of one run.

    Neither database merges several runs of an index by itself; it would sort all their rows. And
    PostgreSQL, told that the column equals the value, takes the rows to be spread evenly and reads
    the whole table in order of id until it has found enough: the last crawl is then found last.
    A range from the value to the value is the same to us, and leaves it only the right index.
    """
    span = how.span
    if connection.dialect.name == "sqlite":
        bounds: list[Condition] = [column == value, *span.conditions()]
        keys: list[sa.ColumnElement[Any]] = [_ID]
    else:
        both = sa.tuple_(column, _ID)
        low = column >= value if span.above is None else both > sa.tuple_(value, span.above)
        high = column <= value if span.below is None else both < sa.tuple_(value, span.below)
        # a comparison of pairs tells the planner of no partial index
        bounds, keys = [low, high, column.isnot(None)], [column, _ID]
    order = [key.desc() if how.down else key.asc() for key in keys]
    return sa.select(_ID).where(*bounds, *rest).order_by(*order).limit(how.limit)
