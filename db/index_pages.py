"""First pages in order of id from an index, at a cost independent of the table's size.

In an index over (column, id), the ids of one value of the column are in order. A page of a filter
therefore consists of the first ids of one value, or of the merged first ids of all labels that a
pattern matches. Two measures limit what combined filters read:

- The rows of a crawl were added together, so its first and last id bound any search
  (`crawl_id_range`).
- A frequent combination occurs among any few thousand rows. These are scanned first, and the index
  is searched only if they do not fill the page (`bounded_scan`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.filters import (
    FAILED_ROWS,
    STATUS_VALUES,
    Condition,
    Filter,
    conditions,
    storable,
    wanted_labels,
)
from db.records import FAILED_STATUSES
from db.tables import catalogue

# a pattern that matches more labels is searched as one set; taxonomies are far smaller
MAX_VALUES_MERGED = 100
ROWS_SCANNED_FIRST = 2000
_ID = catalogue.c.id


@dataclass(frozen=True)
class IdRange:
    """The ids between two bounds, both exclusive; None for no bound."""

    above: int | None = None
    below: int | None = None

    def conditions(self) -> list[Condition]:
        """The WHERE conditions of the range."""
        clauses: list[Condition] = []
        if self.above is not None:
            clauses.append(self.above < _ID)
        if self.below is not None:
            clauses.append(self.below > _ID)
        return clauses

    def after(self, last: int | None, *, descending: bool) -> IdRange:
        """The part of the range that follows the id `last`, in ascending or descending order."""
        if last is None:
            return self
        if descending:
            return IdRange(self.above, last if self.below is None else min(last, self.below))
        return IdRange(last if self.above is None else max(last, self.above), self.below)


@dataclass(frozen=True)
class IdPage:
    """The first `limit` ids of a range, in ascending or descending order."""

    ids: IdRange
    limit: int
    descending: bool


@dataclass(frozen=True)
class IndexLookup:
    """The filter that an index answers: its name, its column, and the values to look up.

    `predicate` repeats the predicate of a partial index where the planner needs that.
    """

    name: str
    column: sa.ColumnElement[Any]
    values: Sequence[Any] = ()
    predicate: tuple[Any, ...] = ()


def crawl_id_range(connection: Connection, wanted: Filter) -> IdRange:
    """The range from the first to the last id of the filter's crawl; unbounded without one."""
    if wanted.crawl is None or not storable(wanted.crawl):
        return IdRange()
    first, last = (
        connection.execute(_ids(connection, catalogue.c.crawl, wanted.crawl, [], page))
        .scalars()
        .first()
        for page in (IdPage(IdRange(), 1, descending=False), IdPage(IdRange(), 1, descending=True))
    )
    return IdRange(0, 0) if first is None or last is None else IdRange(first - 1, last + 1)


def bounded_scan(
    connection: Connection, wanted: Filter, ids: IdRange, *, descending: bool
) -> list[Condition] | None:
    """The conditions for matching rows among the first `ROWS_SCANNED_FIRST` of `ids`.

    None if a scan does not help, because one index answers the filter or few rows are left.
    """
    full_path = wanted.path is not None and "*" not in wanted.path
    if not ROWS_SCANNED_FIRST or full_path or wanted.content_hash is not None:
        return None  # few rows, which their index finds at once
    lookup = index_lookup(connection, wanted)
    if len(lookup.values) <= 1 and not conditions(connection, wanted, without=(lookup.name,)):
        return None
    query = sa.select(_ID).where(*ids.conditions()).order_by(_ID.desc() if descending else _ID)
    last = connection.execute(query.limit(1).offset(ROWS_SCANNED_FIRST - 1)).scalars().first()
    if last is None:
        return None
    part = IdRange(last - 1, ids.below) if descending else IdRange(ids.above, last + 1)
    return [*conditions(connection, wanted), *part.conditions()]


def index_lookup(connection: Connection, wanted: Filter) -> IndexLookup:
    """The filter to answer by index: the one that usually leaves the fewest rows."""
    if wanted.reason is not None and storable(wanted.reason):
        return IndexLookup("reason", catalogue.c.reason, [wanted.reason])
    if wanted.status in FAILED_STATUSES:
        values = [STATUS_VALUES[wanted.status]]
        return IndexLookup("status", catalogue.c.status, values, (FAILED_ROWS,))
    if wanted.shop is not None and storable(wanted.shop):
        return IndexLookup("shop", catalogue.c.shop, [wanted.shop])
    labels = wanted_labels(connection, wanted)
    if labels is not None:
        return IndexLookup("label", catalogue.c.label, labels)
    if wanted.crawl is not None and storable(wanted.crawl):
        return IndexLookup("crawl", catalogue.c.crawl, [wanted.crawl])
    return IndexLookup("", _ID)


def first_ids(
    connection: Connection, wanted: Filter, ids: IdRange, limit: int, *, descending: bool
) -> sa.Subquery | None:
    """The first `limit` ids of matching rows, by index; None if no index answers the filter."""
    lookup, page = index_lookup(connection, wanted), IdPage(ids, limit, descending)
    if not lookup.values or len(lookup.values) > MAX_VALUES_MERGED:
        return None
    rest = [*lookup.predicate, *_other_conditions(connection, wanted, lookup.name)]
    parts = [
        _ids(connection, lookup.column, value, rest, page).subquery() for value in lookup.values
    ]
    merged = sa.union_all(*(sa.select(part.c.id) for part in parts)).subquery("together")
    order = merged.c.id.desc() if descending else merged.c.id.asc()
    return sa.select(merged.c.id).order_by(order).limit(limit).subquery("first")


def _other_conditions(connection: Connection, wanted: Filter, name: str) -> list[Condition]:
    """The conditions except the one on `name`; some are written so that no index matches them.

    These are the crawl, and the labels beside a shop. A planner without statistics on a new crawl,
    or on an index newer than the last ANALYZE, would choose that index for each value and read all
    rows of the crawl or of the labels.
    """
    hidden = ("crawl", "label") if name == "shop" else ("crawl",)
    clauses = conditions(connection, wanted, without=(name, *hidden))
    if wanted.crawl is not None and name != "crawl":
        clauses.append(catalogue.c.crawl.concat("") == wanted.crawl)
    labels = wanted_labels(connection, wanted) if "label" in hidden else None
    if labels is not None:
        clauses.append(catalogue.c.label.concat("").in_(labels))
    return clauses


def _ids(
    connection: Connection,
    column: sa.ColumnElement[Any],
    value: Any,
    rest: Sequence[Condition],
    page: IdPage,
) -> sa.Select[Any]:
    """The first ids of the rows with one value of `column`.

    One query per value, because neither database merges the ordered ids of several values: it would
    sort all their rows. On PostgreSQL the value is given as a range from itself to itself. Given an
    equality, the planner assumes that the rows are evenly spread and reads the table in order of id
    until it has found enough, so that it finds the last crawl last. The range leaves it only the
    right index.
    """
    ids = page.ids
    if connection.dialect.name == "sqlite":
        bounds: list[Condition] = [column == value, *ids.conditions()]
        keys: list[sa.ColumnElement[Any]] = [_ID]
    else:
        pair = sa.tuple_(column, _ID)
        low = column >= value if ids.above is None else pair > sa.tuple_(value, ids.above)
        high = column <= value if ids.below is None else pair < sa.tuple_(value, ids.below)
        # a comparison of pairs does not imply the predicate of a partial index; this does
        bounds, keys = [low, high, column.isnot(None)], [column, _ID]
    order = [key.desc() if page.descending else key.asc() for key in keys]
    return sa.select(_ID).where(*bounds, *rest).order_by(*order).limit(page.limit)
