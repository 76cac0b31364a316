"""Queries on the catalogue, with dataclasses as results.

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

`rows` streams any number of rows in constant memory, from one snapshot. `page` is for browsing: it
uses keyset pagination, so page 1,000 costs the same as page 1.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import index_pages
from db.errors import InvalidQuery
from db.filters import Condition, Filter, conditions, storable, wanted_labels, wanted_leaves
from db.ledger import unknown_crawl
from db.records import Row
from db.session import reading
from db.summaries import Count, seen_values, stats
from db.tables import catalogue
from db.writes.row_values import ROW_NAMES
from rendering.text import did_you_mean

__all__ = ["ORDERS", "Count", "Filter", "Page", "Row"]
__all__ += ["by_best_leaf", "count", "matches_no_label", "page", "position", "rows", "stats"]
__all__ += ["stopped_above", "table"]

ROWS_PER_FETCH = 1000
ORDERS = ("id", "label", "confidence", "margin", "labelled_at")
_COLUMNS = [catalogue.c[name] for name in ROW_NAMES]


@dataclass(frozen=True)
class Page:
    """Some rows, and the `after` of the next page; None on the last page."""

    rows: list[Row]
    next: str | None


def rows(
    engine: Engine, wanted: Filter, *, order_by: str = "id", limit: int | None = None
) -> Iterator[Row]:
    """Stream the matching rows in constant memory, from one snapshot.

    Args:
        engine: The catalogue.
        wanted: Which rows.
        order_by: One of `ORDERS`, with a leading ``-`` for descending order; ties in order of id.
            Any order but 'id' omits rows without that value.
        limit: At most this many rows.

    Raises:
        InvalidQuery: `order_by` is not one of `ORDERS`.
    """
    with reading(engine) as connection:
        query = _query(connection, wanted, _Order.parse(order_by), limit, None)
        # closed explicitly: a reader that stops early would leave a cursor open on the server
        with connection.execution_options(yield_per=ROWS_PER_FETCH).execute(query) as result:
            for values in result:
                yield Row(*values)


def page(
    engine: Engine,
    wanted: Filter,
    *,
    order_by: str = "id",
    limit: int = 100,
    after: str | None = None,
    before: str | None = None,
    seconds: float | None = None,
) -> Page:
    """At most `limit` rows, in order; see `rows`.

    Args:
        engine: The catalogue.
        wanted: Which rows.
        order_by: See `rows`.
        limit: At most this many rows.
        after: The `next` of the previous page, or a `position`: rows that follow it.
        before: A `position`: the last rows that precede it. Not together with `after`.
        seconds: The time limit of the query.

    Raises:
        InvalidQuery: an invalid order, a position of another order, or both positions.
        QueryTooSlow: the query was stopped at its time limit.
    """
    if after is not None and before is not None:
        raise InvalidQuery("expected 'after' or 'before', received both")
    order = _Order.parse(order_by)
    start = order.parse_token(after if before is None else before)
    direction = order if before is None else _Order(order.name, not order.descending)
    with reading(engine, seconds=seconds) as connection:
        values = _page(connection, wanted, direction, limit, start)
    found = [Row(*row) for row in values]
    if before is not None:
        found.reverse()
    return Page(found, order.token(found[-1]) if len(found) == limit and found else None)


def position(row: Row, order_by: str = "id") -> str:
    """The position of `row` in an order, as text for `page` that fits into an address."""
    return _Order.parse(order_by).token(row)


def count(engine: Engine, wanted: Filter, *, seconds: float | None = None) -> int:
    """The number of matching rows.

    Raises:
        QueryTooSlow: the count was stopped at its time limit, `seconds`.
    """
    with reading(engine, seconds=seconds) as connection:
        query = sa.select(sa.func.count()).select_from(catalogue)
        return int(connection.execute(query.where(*conditions(connection, wanted))).scalar_one())


def table(engine: Engine, wanted: Filter) -> Any:
    """The matching rows as one `pyarrow.Table`; its ``.to_pandas()`` needs the extra ``data``."""
    from db.exports.parquet import arrow_table

    return arrow_table(engine, wanted)


def matches_no_label(engine: Engine, wanted: Filter) -> bool:
    """Whether the filter is on labels and matches none of any registered taxonomy."""
    with reading(engine) as connection:
        return [] in (wanted_labels(connection, wanted), wanted_leaves(connection, wanted))


def with_full_version(engine: Engine, wanted: Filter) -> Filter:
    """The filter with the model version whose beginning it gives; as it is, if none begins so.

    Raises:
        InvalidQuery: several versions begin so; the message lists them.
    """
    given = wanted.model_version
    if not given:
        return wanted
    with reading(engine) as connection:
        known = seen_values(connection, "model_version")
    found = [version for version in known if version.startswith(given)]
    if given in known or not found:
        return wanted
    if len(found) > 1:
        raise InvalidQuery(
            f"expected the beginning of one version of: {', '.join(found)}; received {given!r}"
        )
    return replace(wanted, model_version=found[0])


def unseen_values(engine: Engine, wanted: Filter) -> list[str]:
    """A line for each crawl, shop, reason and model of the filter that the catalogue never had.

    They are probably typing errors, which an empty result would hide.
    """
    crawl = None if wanted.crawl is None else unknown_crawl(engine, wanted.crawl)
    lines = [] if crawl is None else [crawl]
    with reading(engine) as connection:
        for name, word in (("shop", "shop"), ("reason", "reason"), ("model_version", "model")):
            value = getattr(wanted, name)
            if value is None:
                continue
            known = seen_values(connection, name)
            if value not in known:
                lines.append(f"no row has the {word} {value!r}{did_you_mean(value, known)}")
    return lines


def by_best_leaf(wanted: Filter) -> Filter:
    """The filter that asks of the best leaf what `wanted` asks of the label."""
    return replace(
        wanted,
        label=None,
        best_leaf=wanted.label,
        min_confidence=None,
        min_best_leaf_confidence=wanted.min_confidence,
        max_confidence=None,
        max_best_leaf_confidence=wanted.max_confidence,
    )


def stopped_above(engine: Engine, wanted: Filter, *, seconds: float) -> dict[str, int]:
    """The rows that `by_best_leaf` finds beside those of `wanted`, as their label stopped earlier.

    Rows with a person's label are not among them.

    Args:
        engine: The catalogue.
        wanted: A filter on `label`, and not on `best_leaf`.
        seconds: The time limit of the query.

    Returns:
        Counts by label, which is above one that `wanted` matches; most first.

    Raises:
        QueryTooSlow: the count was stopped at its time limit.
    """
    with reading(engine, seconds=seconds) as connection:
        names = wanted_labels(connection, wanted) or []
        above = {
            "/".join(parts[:n])
            for name in names
            if (parts := name.split("/"))
            for n in range(1, len(parts))
        }
        label, number = catalogue.c.label, sa.func.count()
        query = sa.select(label, number).where(
            label.in_(sorted(above - set(names))),
            catalogue.c.human_label.is_(None),
            *conditions(connection, by_best_leaf(wanted)),
        )
        found = connection.execute(query.group_by(label).order_by(number.desc(), label)).all()
    return {name: int(rows) for name, rows in found}


@dataclass(frozen=True)
class _Order:
    """A column and a direction."""

    name: str
    descending: bool

    @classmethod
    def parse(cls, order_by: str) -> _Order:
        name = order_by.removeprefix("-")
        if name not in ORDERS:
            raise InvalidQuery(
                f"expected an order out of {', '.join(ORDERS)}, or -NAME for descending order, "
                f"received {order_by!r}"
            )
        return cls(name, order_by.startswith("-"))

    def columns(self) -> list[sa.Column[Any]]:
        """The column, and the id to break ties."""
        column = catalogue.c[self.name]
        return [column] if self.name == "id" else [column, catalogue.c.id]

    def clauses(self) -> list[sa.ColumnElement[Any]]:
        return [column.desc() if self.descending else column.asc() for column in self.columns()]

    def following(self, values: Sequence[Any]) -> Condition:
        """The condition for rows that follow the row with these values."""
        columns = self.columns()
        bounds = [sa.literal(v, c.type) for v, c in zip(values, columns, strict=True)]
        left, right = sa.tuple_(*columns), sa.tuple_(*bounds)
        if len(columns) == 1:
            return columns[0] < bounds[0] if self.descending else columns[0] > bounds[0]
        return left < right if self.descending else left > right

    def token(self, row: Row) -> str:
        """The position of `row`, as text for the next page."""
        values = [getattr(row, str(column.name)) for column in self.columns()]
        plain = [v.isoformat() if isinstance(v, datetime) else v for v in values]
        text = json.dumps([self.name, self.descending, *plain])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def parse_token(self, token: str | None) -> list[Any] | None:
        """The values in a token of this order."""
        if token is None:
            return None
        values: list[Any]
        try:
            padded = token + "=" * (-len(token) % 4)
            name, descending, *values = json.loads(base64.b64decode(padded, b"-_", validate=True))
            if (name, descending) != (self.name, self.descending) or len(values) != len(
                self.columns()
            ):
                raise ValueError(token)
            if self.name == "labelled_at":
                values[0] = datetime.fromisoformat(values[0])
            numbers = values[1:] if self.name in ("label", "labelled_at") else values
            if not all(map(_is_storable_number, numbers)):
                raise ValueError(token)
            if self.name == "label" and not (isinstance(values[0], str) and storable(values[0])):
                raise ValueError(token)
        except (ValueError, TypeError, RecursionError, binascii.Error) as error:
            raise InvalidQuery(
                f"expected the 'next' of a page in the same order, received {token!r}"
            ) from error
        return values


def _is_storable_number(value: Any) -> bool:
    """Whether a column can hold the number: anybody may write a token."""
    return type(value) in (int, float) and -(2**63) <= value < 2**63  # not NaN, not True


def _page(
    connection: Connection, wanted: Filter, order: _Order, limit: int, after: list[Any] | None
) -> Sequence[Sequence[Any]]:
    """The rows of a page."""
    if order.name == "id":
        ids = _id_range(connection, wanted, order, after)
        scan = index_pages.bounded_scan(connection, wanted, ids, descending=order.descending)
        if scan is not None:
            query = sa.select(*_COLUMNS).where(*scan).order_by(*order.clauses()).limit(limit)
            found = connection.execute(query).all()
            if len(found) == limit:
                return found
        index_pages.walk_indexes(connection)
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
        bounds = [] if after is None else [order.following(after)]
        bounds.append(catalogue.c[order.name].isnot(None))
        return ordered.where(*conditions(connection, wanted), *bounds)
    ids = _id_range(connection, wanted, order, after)
    if limit is not None:
        first = index_pages.first_ids(connection, wanted, ids, limit, descending=order.descending)
        if first is not None:
            return ordered.join_from(first, catalogue, catalogue.c.id == first.c.id)
    return ordered.where(*conditions(connection, wanted), *ids.conditions())


def _id_range(
    connection: Connection, wanted: Filter, order: _Order, after: list[Any] | None
) -> index_pages.IdRange:
    """The ids of the filter's crawl, model and times that follow the row `after`."""
    found = index_pages.id_range(connection, wanted)
    return found.after(None if after is None else after[0], descending=order.descending)
