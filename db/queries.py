"""Asking the catalogue, as plain dataclasses:

    from db.queries import Filter, page, rows, stats, table
    from db.session import make_engine

    engine = make_engine("catalogue.db")
    for row in rows(engine, Filter(label="shoes/female/*", min_confidence=0.9)):
        print(row.path, row.label, row.confidence)
    first = page(engine, Filter(needs_review=True), order_by="confidence", limit=20)
    second = page(engine, Filter(needs_review=True), order_by="confidence", limit=20,
                  after=first.next)
    for count in stats(engine, by="shop"):
        print(count.group, count.label, count.rows)
    frame = table(engine, Filter(category="shoes")).to_pandas()

`rows` streams any number in constant memory, in one snapshot. `page` is for looking through:
each page starts where the last one ended (keyset), so page 1,000 costs what page 1 does.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import index_pages
from db.errors import InvalidQuery
from db.filters import Condition, Filter, conditions, wanted_labels
from db.records import Row
from db.session import reading
from db.summaries import Count, stats
from db.tables import catalogue
from db.writes.row_values import ROW_NAMES

__all__ = ["ORDERS", "Count", "Filter", "Page", "Row"]
__all__ += ["count", "fits_no_label", "page", "rows", "stats", "table"]

ROWS_A_FETCH = 1000
ORDERS = ("id", "confidence", "margin", "labelled_at")
_COLUMNS = [catalogue.c[name] for name in ROW_NAMES]


@dataclass(frozen=True)
class Page:
    """Some rows, and what to give as `after` for those that follow; None at the end."""

    rows: list[Row]
    next: str | None


def rows(
    engine: Engine, wanted: Filter, *, order_by: str = "id", limit: int | None = None
) -> Iterator[Row]:
    """The rows that fit, streamed in constant memory out of one snapshot.

    `order_by` is one of `ORDERS`, with ``-`` in front for the greatest first. An order other than
    'id' leaves out the rows that have no such value. Rows that are alike come in order of id.
    """
    with reading(engine) as connection:
        query = _query(connection, wanted, _Order.parse(order_by), limit, None)
        # closed by hand: a reader that stops early leaves a cursor open on the server
        with connection.execution_options(yield_per=ROWS_A_FETCH).execute(query) as result:
            for values in result:
                yield Row(*values)


def page(
    engine: Engine,
    wanted: Filter,
    *,
    order_by: str = "id",
    limit: int = 100,
    after: str | None = None,
) -> Page:
    """At most `limit` rows from where `after` (the `next` of the page before) says."""
    order = _Order.parse(order_by)
    with reading(engine) as connection:
        found = [
            Row(*values) for values in _first(connection, wanted, order, limit, order.read(after))
        ]
    return Page(found, order.token(found[-1]) if len(found) == limit and found else None)


def count(engine: Engine, wanted: Filter) -> int:
    """How many rows fit."""
    with reading(engine) as connection:
        query = sa.select(sa.func.count()).select_from(catalogue)
        return int(connection.execute(query.where(*conditions(connection, wanted))).scalar_one())


def table(engine: Engine, wanted: Filter) -> Any:
    """The rows that fit as one `pyarrow.Table`; ``.to_pandas()`` makes a pandas frame of it.

    Raises:
        ExportError: pyarrow is not installed (the extra ``data``).
    """
    from db.exports.parquet import arrow_table

    return arrow_table(engine, wanted)


def fits_no_label(engine: Engine, wanted: Filter) -> bool:
    """Whether the filter asks for labels, and no registered taxonomy has one that fits."""
    with reading(engine) as connection:
        return wanted_labels(connection, wanted) == []


@dataclass(frozen=True)
class _Order:
    """By which column, and which way."""

    name: str
    down: bool

    @classmethod
    def parse(cls, order_by: str) -> _Order:
        name = order_by.removeprefix("-")
        if name not in ORDERS:
            raise InvalidQuery(
                f"expected an order out of {', '.join(ORDERS)}, or -NAME for the greatest first, "
                f"received {order_by!r}"
            )
        return cls(name, order_by.startswith("-"))

    def columns(self) -> list[sa.Column[Any]]:
        """The value, and the id to part rows that are alike."""
        column = catalogue.c[self.name]
        return [column] if self.name == "id" else [column, catalogue.c.id]

    def clauses(self) -> list[sa.ColumnElement[Any]]:
        return [column.desc() if self.down else column.asc() for column in self.columns()]

    def beyond(self, values: Sequence[Any]) -> Condition:
        """Comes after the row with these values."""
        columns = self.columns()
        bounds = [sa.literal(v, c.type) for v, c in zip(values, columns, strict=True)]
        left, right = sa.tuple_(*columns), sa.tuple_(*bounds)
        if len(columns) == 1:
            return columns[0] < bounds[0] if self.down else columns[0] > bounds[0]
        return left < right if self.down else left > right

    def token(self, row: Row) -> str:
        """Where `row` stands, as text for the next page."""
        values = [getattr(row, str(column.name)) for column in self.columns()]
        plain = [v.isoformat() if isinstance(v, datetime) else v for v in values]
        text = json.dumps([self.name, self.down, *plain])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def read(self, token: str | None) -> list[Any] | None:
        """The values of a token of this order."""
        if token is None:
            return None
        values: list[Any]
        try:
            padded = token + "=" * (-len(token) % 4)
            name, down, *values = json.loads(base64.b64decode(padded, b"-_", validate=True))
            if (name, down) != (self.name, self.down) or len(values) != len(self.columns()):
                raise ValueError(token)
            if self.name == "labelled_at":
                values[0] = datetime.fromisoformat(values[0])
            elif not all(isinstance(value, int | float) for value in values):
                raise ValueError(token)
        except (ValueError, TypeError, binascii.Error) as error:
            raise InvalidQuery(
                f"expected the 'next' of a page in the same order, received {token!r}"
            ) from error
        return values


def _first(
    connection: Connection, wanted: Filter, order: _Order, limit: int, after: list[Any] | None
) -> Sequence[Sequence[Any]]:
    """The rows of a page."""
    if order.name == "id":
        span = _span(connection, wanted, order, after)
        close = index_pages.near(connection, wanted, span, down=order.down)
        if close is not None:
            query = sa.select(*_COLUMNS).where(*close).order_by(*order.clauses()).limit(limit)
            found = connection.execute(query).all()
            if len(found) == limit:
                return found
    return connection.execute(_query(connection, wanted, order, limit, after)).all()


def _query(
    connection: Connection,
    wanted: Filter,
    order: _Order,
    limit: int | None,
    after: list[Any] | None,
) -> sa.Select[Any]:
    ordered = sa.select(*_COLUMNS).order_by(*order.clauses()).limit(limit)
    if order.name != "id":
        bounds = [] if after is None else [order.beyond(after)]
        bounds.append(catalogue.c[order.name].isnot(None))
        return ordered.where(*conditions(connection, wanted), *bounds)
    span = _span(connection, wanted, order, after)
    if limit is not None:
        first = index_pages.first_ids(connection, wanted, span, limit, down=order.down)
        if first is not None:
            return ordered.join_from(first, catalogue, catalogue.c.id == first.c.id)
    return ordered.where(*conditions(connection, wanted), *span.conditions())


def _span(
    connection: Connection, wanted: Filter, order: _Order, after: list[Any] | None
) -> index_pages.Span:
    found = index_pages.span_of(connection, wanted)
    return found.beyond(None if after is None else after[0], down=order.down)
