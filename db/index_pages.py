"""First pages in order of id from an index, at a cost independent of the table's size.

In an index over (column, id), the ids of one value of the column are in order. A page of a filter
therefore consists of the first ids of one value, or of the merged first ids of all labels that a
pattern matches. Two measures limit what combined filters read:

- The rows of a crawl were added together, so its first and last id bound any search. So do those of
  a model and of a day, mostly (`id_range`).
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
    audit_condition,
    conditions,
    storable,
    time_conditions,
    wanted_labels,
)
from db.records import FAILED_STATUSES
from db.tables import catalogue

# a pattern that matches more labels is searched as one set; taxonomies are far smaller
MAX_VALUES_MERGED = 100
ROWS_SCANNED_FIRST = 2000
# entries of an index to read for the first and last id of a time range, some milliseconds; the rows
# of more are found by the other indexes
ROWS_OF_A_DAY = 100_000
ROWS_COMPARED = 20_000  # entries to read of each index that could answer a filter
_ID, _TIME = catalogue.c.id, catalogue.c.labelled_at


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

    def within(self, other: IdRange) -> IdRange:
        """The ids in both ranges."""
        above = [bound for bound in (self.above, other.above) if bound is not None]
        below = [bound for bound in (self.below, other.below) if bound is not None]
        return IdRange(max(above, default=None), min(below, default=None))

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


def id_range(connection: Connection, wanted: Filter) -> IdRange:
    """The ids that the filter's crawl, model and times leave; unbounded without these."""
    found = crawl_id_range(connection, wanted)
    model = wanted.model_version
    if model is not None and storable(model):
        found = found.within(_value_id_range(connection, catalogue.c.model_version, model))
    if wanted.labelled_after is not None and wanted.labelled_before is not None:
        found = found.within(_time_id_range(connection, wanted))
    return found


def crawl_id_range(connection: Connection, wanted: Filter) -> IdRange:
    """The range from the first to the last id of the filter's crawl; unbounded without one."""
    if wanted.crawl is None or not storable(wanted.crawl):
        return IdRange()
    return _value_id_range(connection, catalogue.c.crawl, wanted.crawl)


def _value_id_range(connection: Connection, column: sa.ColumnElement[Any], value: Any) -> IdRange:
    """The range from the first to the last id of one value; an empty one if there is no row."""
    first, last = (
        connection.execute(_ids(connection, column, value, [], page)).scalars().first()
        for page in (IdPage(IdRange(), 1, descending=False), IdPage(IdRange(), 1, descending=True))
    )
    return IdRange(0, 0) if first is None or last is None else IdRange(first - 1, last + 1)


def _time_id_range(connection: Connection, wanted: Filter) -> IdRange:
    """The range from the first to the last id labelled in the filter's times, if these are few."""
    times = Filter(labelled_after=wanted.labelled_after, labelled_before=wanted.labelled_before)
    some = sa.select(_ID).where(*conditions(connection, times)).limit(ROWS_OF_A_DAY + 1).subquery()
    query = sa.select(sa.func.count(), sa.func.min(some.c.id), sa.func.max(some.c.id))
    rows, first, last = connection.execute(query).one()
    if rows > ROWS_OF_A_DAY:
        return IdRange()
    return IdRange(first - 1, last + 1) if rows else IdRange(0, 0)


def bounded_scan(
    connection: Connection, wanted: Filter, ids: IdRange, *, descending: bool
) -> list[Condition] | None:
    """The conditions for matching rows among the first `ROWS_SCANNED_FIRST` of `ids`.

    None if a scan does not help, because one index answers the filter or few rows are left.
    """
    full_path = wanted.path is not None and "*" not in wanted.path
    few = full_path or wanted.content_hash is not None or wanted.audit is not None
    if not ROWS_SCANNED_FIRST or few:
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
    return _lookups(connection, wanted)[0]


def _lookups(connection: Connection, wanted: Filter) -> list[IndexLookup]:
    """The filters that an index answers; first those that usually leave the fewest rows."""
    found = []
    if wanted.audit is not None:
        return [IndexLookup("audit", _ID, [None], (audit_condition(wanted.audit),))]
    if wanted.reason is not None and storable(wanted.reason):
        found.append(IndexLookup("reason", catalogue.c.reason, [wanted.reason]))
    if wanted.status in FAILED_STATUSES:
        values = [STATUS_VALUES[wanted.status]]
        found.append(IndexLookup("status", catalogue.c.status, values, (FAILED_ROWS,)))
    if wanted.shop is not None and storable(wanted.shop):
        found.append(IndexLookup("shop", catalogue.c.shop, [wanted.shop]))
    labels = wanted_labels(connection, wanted)
    if labels is not None:
        found.append(IndexLookup("label", catalogue.c.label, labels))
    if wanted.corrected:
        corrected = catalogue.c.human_label.isnot(None)
        found.append(IndexLookup("corrected", _ID, [None], (corrected,)))
    if found:
        return found
    if wanted.crawl is not None and storable(wanted.crawl):
        return [IndexLookup("crawl", catalogue.c.crawl, [wanted.crawl])]
    if wanted.model_version is not None and storable(wanted.model_version):
        return [IndexLookup("model_version", catalogue.c.model_version, [wanted.model_version])]
    return [IndexLookup("", _ID)]


def _shortest_lookup(connection: Connection, wanted: Filter, ids: IdRange) -> IndexLookup:
    """Of the filters that an index answers, the one with the fewest rows among `ids`.

    Each is counted up to `ROWS_COMPARED`. Of those with more, the first is taken.
    """
    found = _lookups(connection, wanted)
    if len(found) == 1:
        return found[0]
    page = IdPage(ids, ROWS_COMPARED, descending=False)
    rows = []
    for lookup in found:
        number = 0
        for value in lookup.values[:MAX_VALUES_MERGED]:
            part = _ids(connection, lookup.column, value, lookup.predicate, page).subquery()
            query = sa.select(sa.func.count()).select_from(part)
            number += int(connection.execute(query).scalar_one())
            if number >= ROWS_COMPARED:
                break
        rows.append(min(number, ROWS_COMPARED))
    return found[rows.index(min(rows))]


def walk_indexes(connection: Connection) -> None:
    """Until the transaction ends, have PostgreSQL read indexes in order, and stop at a full page.

    It expects so few rows of a combined filter that it would collect all rows of an index, and sort
    them.
    """
    if connection.dialect.name == "postgresql":
        ways = ("enable_bitmapscan", "enable_seqscan")
        connection.execute(sa.select(*(sa.func.set_config(way, "off", True) for way in ways)))


def first_ids(
    connection: Connection, wanted: Filter, ids: IdRange, limit: int, *, descending: bool
) -> sa.Subquery | None:
    """The first `limit` ids of matching rows, by index; None if no index answers the filter."""
    lookup, page = _shortest_lookup(connection, wanted, ids), IdPage(ids, limit, descending)
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

    A planner without statistics on a new crawl, or on an index newer than the last ANALYZE, would
    choose that index for each value and read all rows of the crawl, of the day or of the labels.
    """
    hidden = ("crawl", "model_version", "shop", "reason", "labelled_at", "label")
    failed = wanted.status in FAILED_STATUSES
    clauses = conditions(
        connection, wanted, without=(name, *hidden, *(("status",) if failed else ()))
    )
    values = {column: getattr(wanted, column) for column in hidden[:4]}
    for column, value in (values | ({"status": wanted.status} if failed else {})).items():
        if value is not None and name != column:
            found = catalogue.c[column].concat("") == value
            clauses.append(found if storable(value) else sa.false())
    clauses += time_conditions(wanted, sa.func.coalesce(_TIME, _TIME, type_=_TIME.type))
    labels = None if name == "label" else wanted_labels(connection, wanted)
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
    if column is _ID:  # a partial index over the ids, which the predicate in `rest` names
        order_by_id = _ID.desc() if page.descending else _ID.asc()
        query = sa.select(_ID).where(*ids.conditions(), *rest).order_by(order_by_id)
        return query.limit(page.limit)
    if connection.dialect.name == "sqlite":
        bounds: list[Condition] = [column == value, *ids.conditions()]
        keys: list[sa.ColumnElement[Any]] = [_ID]
    else:
        pair = sa.tuple_(column, _ID)
        # A comparison of pairs does not imply the predicate of a partial index, and the planner
        # takes it for a third of the table. The comparisons of the column alone tell it better.
        bounds, keys = [column >= value, column <= value, column.isnot(None)], [column, _ID]
        if ids.above is not None:
            bounds.append(pair > sa.tuple_(value, ids.above))
        if ids.below is not None:
            bounds.append(pair < sa.tuple_(value, ids.below))
    order = [key.desc() if page.descending else key.asc() for key in keys]
    return sa.select(_ID).where(*bounds, *rest).order_by(*order).limit(page.limit)
