"""The facets of the grid: counts by value, the label as a tree, and links that choose a value."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db.browsing import FACET_SECONDS, FACETS, facet

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from web.views import View

SHOWN = 12  # values of a facet; the others are reached by the search fields
TITLES = {
    "label": "Label",
    "crawl": "Crawl",
    "shop": "Shop",
    "status": "Status",
    "reason": "Reason",
    "model": "Model",
    "day": "Day",
    "needs_review": "Needs review",
    "corrected": "Corrected",
}
_FLAG_WORDS = {"true": "yes", "false": "no"}


@dataclass(frozen=True)
class Choice:
    """A value of a facet with its number of rows; `address` None: it cannot be chosen."""

    words: str
    rows: int | None
    address: str | None
    chosen: bool
    depth: int = 0


@dataclass(frozen=True)
class Facet:
    """A facet to show; `choices` None: not counted in time, ask `later`."""

    name: str
    title: str
    choices: list[Choice] | None
    hidden: int
    later: str
    clear: str | None


def facets(engine: Engine, view: View, *, seconds: float = FACET_SECONDS) -> list[Facet]:
    """All facets of a view; those that are not counted within `seconds` together come later."""
    end = time.monotonic() + seconds
    found = []
    for name in FACETS:
        left = end - time.monotonic()
        found.append(
            one_facet(engine, view, name, seconds=left)
            if left > 0.005
            else _facet(view, name, None)
        )
    return found


def one_facet(engine: Engine, view: View, name: str, *, seconds: float) -> Facet:
    """One facet of a view.

    Raises:
        InvalidQuery: there is no facet of that name.
    """
    return _facet(view, name, facet(engine, view.wanted, name, seconds=seconds))


def _facet(view: View, name: str, counts: Mapping[str | None, int] | None) -> Facet:
    others = view.without_facet(name)
    is_set = others.wanted != view.wanted
    choices: list[Choice] | None = None
    if counts is not None:
        choices = list(_tree(view, counts) if name == "label" else _values(view, name, counts))
    shown = choices if choices is None or name == "label" else choices[:SHOWN]
    return Facet(
        name,
        TITLES[name],
        shown,
        0 if choices is None or shown is None else len(choices) - len(shown),
        view.address(f"/facets/{name}"),
        others.address() if is_set else None,
    )


def _values(view: View, name: str, counts: Mapping[str | None, int]) -> Iterator[Choice]:
    chosen = view.chosen(name)
    others = view.without_facet(name)
    if chosen is not None and chosen not in counts:
        yield Choice(_FLAG_WORDS.get(chosen, chosen), 0, others.address(), chosen=True)
    # the chosen value first, so that it is seen however rare it is
    for value, rows in sorted(counts.items(), key=lambda item: item[0] != chosen):
        if value is None:
            yield Choice("(none)", rows, None, chosen=False)
            continue
        is_chosen = value == chosen
        shown = others if is_chosen else view.with_value(name, value)
        words = _FLAG_WORDS.get(value, value) if name in ("needs_review", "corrected") else value
        yield Choice(words, rows, shown.address(), is_chosen)


def _tree(view: View, counts: Mapping[str | None, int]) -> Iterator[Choice]:
    """Each node of the label tree with the rows at and below it, in the order of the tree."""
    sums: Counter[tuple[str, ...]] = Counter()
    for label, rows in counts.items():
        parts = tuple(label.split("/")) if label is not None else ()
        for depth in range(1, len(parts) + 1):
            sums[parts[:depth]] += rows
    chosen = tuple(name for _, name in view.wanted.levels or ())
    others = view.without_facet("label")
    for node in sorted(sums):
        depth = len(node) - 1
        if depth and node[:depth] != chosen[:depth]:
            continue  # only the branch that is chosen is open
        is_chosen = node == chosen
        above = tuple(enumerate(node[:-1] if is_chosen else node, 1)) or None
        yield Choice(node[-1], sums[node], others.address(levels=above), is_chosen, depth)
    if (without := counts.get(None)) is not None:
        yield Choice("(no label)", without, None, chosen=False)
