"""A view is what an address shows: filters, sort, size and position. All of it is in the address.

    view = View.parse([("category", "shoes"), ("sort", "least sure")])
    view.address("/", crawl="spring")  # /?category=shoes&crawl=spring&sort=least+sure

The names are those of `db.filters.Filter`. `level=2=winter` may be repeated, and `day` is short for
`labelled_after` and `labelled_before`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from db.browsing import FACETS, LARGEST_PAGE, SORTS
from db.errors import InvalidQuery
from db.filters import Filter
from db.records import STATUSES

PAGE_SIZE = 60
NEWEST = "newest"
LONGEST_VALUE = 8192  # characters; a path may have 4 KB, in escapes three times as many
FLAGS = ("needs_review", "corrected", "duplicates")
TIMES = ("labelled_after", "labelled_before")
FRACTIONS = tuple(f.name for f in fields(Filter) if f.name.startswith(("min_", "max_")))
TEXTS = tuple(
    f.name for f in fields(Filter) if f.name not in {*FLAGS, *TIMES, *FRACTIONS, "levels"}
)
OTHERS = ("level", "day", "sort", "size", "at")


@dataclass(frozen=True)
class View:
    """What a page of the grid shows; `at` is a position of `db.browsing.window`."""

    wanted: Filter = field(default_factory=Filter)
    sort: str = NEWEST
    size: int = PAGE_SIZE
    at: str | None = None

    @classmethod
    def parse(cls, pairs: Iterable[tuple[str, str]]) -> View:
        """The view of an address's names and values; an empty value is no filter.

        Raises:
            InvalidQuery: an unknown name, a name given twice or a value of another type.
        """
        values: dict[str, Any] = {}
        levels: list[tuple[int, str]] = []
        for name, text in pairs:
            if len(text) > LONGEST_VALUE:
                raise InvalidQuery(f"{name[:50]}: expected at most {LONGEST_VALUE} characters")
            if not text:
                continue
            if name == "level":
                levels.append(_level(text))
                continue
            if name in values:
                raise InvalidQuery(f"expected {name!r} once, received it twice")
            values[name] = _parsed(name, text)
        if "day" in values:
            values["labelled_after"], values["labelled_before"] = values.pop("day")
        shown = {name: values.pop(name) for name in ("sort", "size", "at") if name in values}
        return cls(Filter(**values, levels=tuple(sorted(set(levels))) or None), **shown)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The names and values of its address, in a fixed order, without defaults."""
        day = _whole_day(self.wanted)
        for entry in fields(Filter):
            value = getattr(self.wanted, entry.name)
            if value is None or (day and entry.name in TIMES):
                continue
            if entry.name == "levels":
                yield from (("level", f"{depth}={name}") for depth, name in value)
            else:
                yield entry.name, _text(value)
        if day:
            yield "day", day
        if self.sort != NEWEST:
            yield "sort", self.sort
        if self.size != PAGE_SIZE:
            yield "size", str(self.size)
        if self.at is not None:
            yield "at", self.at

    def query(self) -> str:
        """The query of its address, ASCII; '' for the first page of everything."""
        return urlencode(list(self.pairs()))

    def address(self, path: str = "/", **changes: Any) -> str:
        """The address of this view at a path, with changed filters, from the first page on.

        Args:
            path: The path of the address.
            changes: Fields of `Filter`, or `sort`, `size` and `at`.
        """
        shown = {name: changes.pop(name) for name in ("sort", "size", "at") if name in changes}
        changed = replace(self, wanted=replace(self.wanted, **changes), **{"at": None, **shown})
        query = changed.query()
        return f"{path}?{query}" if query else path

    def without_facet(self, facet: str) -> View:
        """The first page of the view without the filters that the facet sets."""
        others = replace(self.wanted, **dict.fromkeys(FACETS[facet], None))
        return replace(self, wanted=others, at=None)

    def chosen(self, facet: str) -> str | None:
        """The facet's value that the view is filtered by; None: not by one value."""
        if facet == "day":
            return _whole_day(self.wanted)
        value = getattr(self.wanted, FACETS[facet][0])
        return None if value is None else _text(value)

    def with_value(self, facet: str, value: str) -> View:
        """The first page of the view, with this value of the facet in place of another."""
        name = {"model": "model_version"}.get(facet, facet)
        added = View.parse([(name, value)]).wanted
        given = {n: getattr(added, n) for n in FACETS[facet]}
        return replace(self, wanted=replace(self.wanted, **given), at=None)


def _parsed(name: str, text: str) -> Any:
    try:
        if name in FLAGS:
            return {"true": True, "false": False}[text]
        if name in TIMES:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        if name == "day":
            start = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return start, start + timedelta(days=1)
        if name in FRACTIONS:
            value = float(text)
            if not 0 <= value <= 1:
                raise ValueError(text)
            return value
        if name == "size":
            size = int(text)
            if not 1 <= size <= LARGEST_PAGE:
                raise ValueError(text)
            return size
    except (ValueError, KeyError, OverflowError):
        raise InvalidQuery(f"{name}: expected {_expected(name)}, received {text[:80]!r}") from None
    if name == "sort" and text not in SORTS:
        raise InvalidQuery(f"sort: expected one of {', '.join(SORTS)}, received {text[:80]!r}")
    if name == "status" and text not in STATUSES:
        raise InvalidQuery(f"status: expected one of {', '.join(STATUSES)}, received {text[:80]!r}")
    if name in (*TEXTS, "sort", "at"):
        return text
    known = ", ".join((*TEXTS, *FLAGS, *TIMES, *FRACTIONS, *OTHERS))
    raise InvalidQuery(f"expected one of {known}, received {name[:80]!r}")


def _expected(name: str) -> str:
    if name in FLAGS:
        return "true or false"
    if name == "size":
        return f"a whole number from 1 to {LARGEST_PAGE}"
    if name in FRACTIONS:
        return "a number from 0 to 1"
    return "a date such as 2026-11-25" + ("" if name == "day" else " or 2026-11-25T14:30:00")


def _level(text: str) -> tuple[int, str]:
    depth, _, name = text.partition("=")
    if not (depth.isascii() and depth.isdecimal() and 1 <= int(depth[:3]) <= 99 and name):
        raise InvalidQuery(f"level: expected such as 2=winter, received {text[:80]!r}")
    return int(depth), name


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _whole_day(wanted: Filter) -> str | None:
    """The UTC day that the filter selects, if it selects one."""
    start, end = wanted.labelled_after, wanted.labelled_before
    if start is None or end is None or end - start != timedelta(days=1):
        return None
    start = start.astimezone(UTC)
    return f"{start:%Y-%m-%d}" if start.time() == datetime.min.time() else None
