"""Browse the catalogue: pages in both directions, counts by facet, one picture with its history.

    from db.browsing import facet, picture, window
    from db.queries import Filter

    first = window(engine, Filter(needs_review=True), sort="least sure", size=60)
    second = window(engine, Filter(needs_review=True), sort="least sure", size=60, at=first.next)
    shops = facet(engine, Filter(needs_review=True), "shop")  # None: not counted within 0.2 s

The queries are those of `db.queries`. Paging is by keyset: rows that others add or remove do not
shift the pages.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db.errors import InvalidQuery, QueryTooSlow
from db.filters import Filter
from db.queries import Row, count, page, position, stats
from db.session import reading
from db.tables import catalogue, corrections, label_history
from db.writes.row_values import ROW_NAMES

QUERY_SECONDS = 5.0
FACET_SECONDS = 0.2  # a page does not wait longer; it asks again with `QUERY_SECONDS`
SAME_BYTES_SHOWN = 50
LARGEST_PAGE = 1000
# `newest` is the last added, which includes pending and rejected rows; the others omit these
SORTS = {"newest": "-id", "least sure": "confidence", "most contested": "margin"}
# facet -> the fields of `Filter` that choose among its values
FACETS = {
    "label": ("label", "category", "gender", "type", "levels"),
    "crawl": ("crawl",),
    "shop": ("shop",),
    "status": ("status",),
    "reason": ("reason",),
    "model": ("model_version",),
    "day": ("labelled_after", "labelled_before"),
    "needs_review": ("needs_review",),
    "corrected": ("corrected",),
}
_AFTER, _BEFORE = "after.", "before."


@dataclass(frozen=True)
class Window:
    """A page of rows, and the positions (`at`) of the pages before and after it, or None."""

    rows: list[Row]
    previous: str | None
    next: str | None


@dataclass(frozen=True)
class PastLabel:
    """A model's label that a later one replaced."""

    label: str | None
    confidence: float | None
    model_version: str | None
    labelled_at: datetime | None
    replaced_at: datetime


@dataclass(frozen=True)
class PastCorrection:
    """A person's correction; `to_label` None withdrew an earlier one."""

    corrected_by: str
    corrected_at: datetime
    from_label: str | None
    to_label: str | None
    model_label: str | None
    note: str | None


@dataclass(frozen=True)
class Picture:
    """A row, at most `SAME_BYTES_SHOWN` others with its bytes, and its history, newest first."""

    row: Row
    same_bytes: list[Row]
    labels: list[PastLabel]
    corrections: list[PastCorrection]


def window(
    engine: Engine,
    wanted: Filter,
    *,
    sort: str = "newest",
    size: int = 60,
    at: str | None = None,
    seconds: float = QUERY_SECONDS,
) -> Window:
    """One page of the matching rows.

    If fewer than `size` rows precede a position, the full first page is returned.

    Args:
        engine: The catalogue.
        wanted: Which rows.
        sort: One of `SORTS`; ties in order of id.
        size: Rows a page, from 1 to `LARGEST_PAGE`.
        at: `previous` or `next` of another page of the same sort; None: the first page.
        seconds: The time limit of a query.

    Raises:
        InvalidQuery: an unknown sort, a size out of range, or a position of no page.
        QueryTooSlow: a query was stopped at its time limit.
    """
    if sort not in SORTS:
        raise InvalidQuery(f"expected a sort out of {', '.join(SORTS)}, received {sort!r}")
    if not 1 <= size <= LARGEST_PAGE:
        raise InvalidQuery(f"expected a page of 1 to {LARGEST_PAGE} rows, received {size}")
    after, before = _parsed(at)
    order = SORTS[sort]

    def rows(after: str | None, before: str | None = None) -> list[Row]:
        """One row more than a page shows whether another page follows."""
        found = page(
            engine,
            wanted,
            order_by=order,
            limit=size + 1,
            after=after,
            before=before,
            seconds=seconds,
        )
        return found.rows

    if before is not None:
        found = rows(None, before)
        if len(found) > size:
            shown = found[1:]
            return Window(shown, *_ends(shown, order))
        after = None
    found = rows(after)
    shown = found[:size]
    if not shown:
        # what followed is gone: the rows before the position are still there
        return Window([], None if after is None else _BEFORE + after, None)
    previous, following = _ends(shown, order)
    return Window(
        shown, None if after is None else previous, following if len(found) > size else None
    )


def facet(
    engine: Engine, wanted: Filter, name: str, *, seconds: float = FACET_SECONDS
) -> dict[str | None, int] | None:
    """The number of rows for each value of a facet, under all other filters.

    The facet's own filter is left out, so that its other values can be chosen. Filters on label,
    status, reason, crawl, shop and model are answered by counters, in a time independent of the
    number of rows.

    Returns:
        Counts by value, most first; None stands for rows without a value. The values of
        `needs_review` and `corrected` are 'true' and 'false', with the meaning of the filters.
        None if the count was stopped at its time limit.

    Raises:
        InvalidQuery: `name` is not in `FACETS`.
    """
    if name not in FACETS:
        raise InvalidQuery(f"expected a facet out of {', '.join(FACETS)}, received {name!r}")
    others = replace(wanted, **dict.fromkeys(FACETS[name], None))
    try:
        if name in ("needs_review", "corrected"):
            return _flag(engine, others, name, seconds)
        by = name if name in ("crawl", "shop", "model", "day") else None
        counts: Counter[str | None] = Counter()
        for found in stats(engine, others, by=by, seconds=seconds):
            counts[found.group if by else getattr(found, name)] += found.rows
    except QueryTooSlow:
        return None
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0] or "")))


def picture(engine: Engine, row_id: int, *, seconds: float = QUERY_SECONDS) -> Picture | None:
    """The row `row_id` with its history and the same bytes elsewhere; None: no such row."""
    columns = [catalogue.c[name] for name in ROW_NAMES]
    with reading(engine, seconds=seconds) as connection:
        values = connection.execute(sa.select(*columns).where(catalogue.c.id == row_id)).first()
        if values is None:
            return None
        row = Row(*values)
        same: list[Row] = []
        if row.content_hash is not None:
            query = (
                sa.select(*columns)
                .where(catalogue.c.content_hash == row.content_hash, catalogue.c.id != row_id)
                .order_by(catalogue.c.id)
                .limit(SAME_BYTES_SHOWN)
            )
            same = [Row(*values) for values in connection.execute(query)]
        past = ("model_label", "confidence", "model_version", "labelled_at", "replaced_at")
        labels = connection.execute(_log(label_history, row_id, past)).all()
        names = tuple(PastCorrection.__dataclass_fields__)
        log = connection.execute(_log(corrections, row_id, names)).all()
    return Picture(
        row, same, [PastLabel(*values) for values in labels], [PastCorrection(*v) for v in log]
    )


def _log(table: sa.Table, row_id: int, names: tuple[str, ...]) -> sa.Select[Any]:
    """These columns of the row's entries in a log table, newest first."""
    columns = [table.c[name] for name in names]
    return sa.select(*columns).where(table.c.catalogue_id == row_id).order_by(table.c.id.desc())


def _flag(engine: Engine, wanted: Filter, name: str, seconds: float) -> dict[str | None, int]:
    """The counts of 'true', by index, and of 'false': the rest.

    The two queries may see different rows while others write, so the rest is never below 0. They
    share the time limit.
    """
    flag: dict[str, Any] = {name: True}
    end = time.monotonic() + seconds
    yes = count(engine, replace(wanted, **flag), seconds=seconds)
    every = stats(engine, wanted, seconds=max(0.0, end - time.monotonic()))
    # only labelled rows are confident or doubtful; any row can be without a correction
    total = sum(c.rows for c in every if name == "corrected" or c.status == "labelled")
    return {"true": yes, "false": max(0, total - yes)}


def _ends(rows: list[Row], order: str) -> tuple[str, str]:
    """The positions of the pages before and after these rows."""
    return _BEFORE + position(rows[0], order), _AFTER + position(rows[-1], order)


def _parsed(at: str | None) -> tuple[str | None, str | None]:
    """The `after` and the `before` of `page` for a window's position."""
    if at is None:
        return None, None
    if at.startswith(_AFTER):
        return at.removeprefix(_AFTER), None
    if at.startswith(_BEFORE):
        return None, at.removeprefix(_BEFORE)
    raise InvalidQuery(f"expected 'previous' or 'next' of a page, received {at[:200]!r}")
