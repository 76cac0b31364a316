"""Pages in both directions, facets and time limits, on both databases."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

import pytest
import sqlalchemy as sa

from db.browsing import FACETS, SORTS, Window, facet, picture, window
from db.catalogue import Catalogue
from db.errors import InvalidQuery, QueryTooSlow
from db.human_labels import Correction, apply
from db.queries import Filter, Row, count, rows
from db.records import FileState
from db.session import reading
from tests.db.samples import (
    CRAWL,
    LEASE_SECONDS,
    MODEL,
    OTHER_MODEL,
    SUNGLASSES,
    labelled,
    put,
    rejected,
    sandals,
)

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def fill(store: Catalogue, number: int = 23) -> list[Row]:
    """Rows of two crawls with many equal confidences and margins; some rejected or corrected."""
    chance = random.Random(5)
    for crawl, model in (("spring", MODEL), ("autumn", OTHER_MODEL)):
        outcomes = []
        for i in range(number):
            sure = chance.choice([0.3, 0.5, 0.9])
            fields = chance.choice([sandals(), SUNGLASSES])
            fields = replace(fields, confidence=sure, margin=sure / 2, needs_review=sure < 0.5)
            path = f"/{crawl}/{i}.jpg"
            outcomes.append(rejected(path) if i % 7 == 3 else labelled(path, fields))
        put(store, outcomes, model, crawl)
    some = [row.id for row in rows(store.engine, Filter(status="labelled"))][::5]
    apply(store.engine, [Correction(id, "shoes/male/boots") for id in some], "mara")
    return list(rows(store.engine, Filter()))


def ordered(found: list[Row], sort: str) -> list[int]:
    """The ids in the order of the sort, by Python."""
    if sort == "newest":
        return sorted((row.id for row in found), reverse=True)
    name = SORTS[sort]
    kept = [(getattr(row, name), row.id) for row in found if getattr(row, name) is not None]
    return [id for _, id in sorted(kept)]


def ids(shown: Window) -> list[int]:
    return [row.id for row in shown.rows]


@pytest.mark.parametrize("sort", SORTS)
def test_pages_forward_and_back_are_the_same_pages(store: Catalogue, sort: str) -> None:
    expected = ordered(fill(store), sort)
    pages = [window(store.engine, Filter(), sort=sort, size=7)]
    assert pages[0].previous is None
    while (at := pages[-1].next) is not None:
        pages.append(window(store.engine, Filter(), sort=sort, size=7, at=at))
    assert [id for shown in pages for id in ids(shown)] == expected
    shown = pages[-1]
    for earlier in reversed(pages[:-1]):
        assert shown.previous is not None
        shown = window(store.engine, Filter(), sort=sort, size=7, at=shown.previous)
        assert shown == earlier


def test_a_last_page_that_is_full_has_no_next(store: Catalogue) -> None:
    found = fill(store)
    shown = window(store.engine, Filter(), size=len(found))
    assert (len(shown.rows), shown.previous, shown.next) == (len(found), None, None)


def test_rows_that_others_add_shift_no_page(store: Catalogue) -> None:
    expected = ordered(fill(store), "newest")
    first = window(store.engine, Filter(), size=7)
    put(store, [labelled(f"/new/{i}.jpg") for i in range(3)])
    second = window(store.engine, Filter(), size=7, at=first.next)
    assert ids(second) == expected[7:14]
    # 7 + 3 rows precede the second page: the page back is the 7 nearest, the next back the first
    back = window(store.engine, Filter(), size=7, at=second.previous)
    assert ids(back) == expected[:7]
    top = window(store.engine, Filter(), size=7, at=back.previous)
    assert ids(top) == ids(window(store.engine, Filter(), size=7))
    assert len(top.rows) == 7
    assert top.previous is None


def test_an_empty_page_leads_back(store: Catalogue) -> None:
    fill(store)
    first = window(store.engine, Filter(crawl="spring"), size=7)
    gone = window(store.engine, Filter(crawl="winter"), size=7, at=first.next)
    assert gone.rows == []
    assert gone.next is None
    assert gone.previous is not None
    assert window(store.engine, Filter(crawl="spring"), size=7, at=gone.previous).rows


@pytest.mark.parametrize("at", ["", "x", "after.", "before.!", "after.W10", "before." + "A" * 5000])
def test_a_position_of_no_page_is_refused(store: Catalogue, at: str) -> None:
    with pytest.raises(InvalidQuery):
        window(store.engine, Filter(), at=at)


def test_wrong_arguments_are_refused(store: Catalogue) -> None:
    first = fill(store) and window(store.engine, Filter(), size=2)
    for wrong in ({"sort": "loudest"}, {"size": 0}, {"size": 1001}, {"sort": "least sure"}):
        with pytest.raises(InvalidQuery):
            window(store.engine, Filter(), at=first.next, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidQuery):
        facet(store.engine, Filter(), "colour")


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(crawl="autumn", label="shoes/*"),
        Filter(status="rejected"),
        Filter(needs_review=True),
        Filter(corrected=False, min_confidence=0.4),
    ],
)
def test_facets_equal_a_count_in_python(store: Catalogue, wanted: Filter) -> None:
    fill(store)
    columns = {"model": "model_version"}
    for name, own in FACETS.items():
        others = replace(wanted, **dict.fromkeys(own, None))
        found = list(rows(store.engine, others))
        if name in ("needs_review", "corrected"):
            expected = {
                text: count(store.engine, replace(others, **{name: value}))
                for text, value in (("true", True), ("false", False))
            }
        elif name == "day":
            days = [None if r.labelled_at is None else r.labelled_at.isoformat() for r in found]
            expected = dict(Counter(day and day[:10] for day in days))
        else:
            expected = dict(Counter(getattr(row, columns.get(name, name)) for row in found))
        assert facet(store.engine, wanted, name, seconds=60) == expected, name


def test_the_database_stops_a_slow_query(store: Catalogue) -> None:
    with (
        pytest.raises(QueryTooSlow, match="time limit"),
        reading(store.engine, seconds=0.05) as connection,
    ):
        connection.execute(sa.text(ENDLESS)).all()
    with reading(store.engine, seconds=0.05) as connection:  # kept, where the other was rolled back
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1
    # the limit is gone from the connection that goes back to the pool
    if store.engine.dialect.name == "postgresql":
        with reading(store.engine) as connection:
            assert connection.execute(sa.text("SHOW statement_timeout")).scalar() == "0"
    hundred_thousand = ENDLESS.replace("FROM n)", "FROM n WHERE i < 100000)")
    with reading(store.engine) as connection:
        assert connection.execute(sa.text(hundred_thousand)).scalar() == 100_000


def test_a_facet_that_takes_too_long_is_none(store: Catalogue) -> None:
    fill(store, 200)
    with ExitStack() as held:
        if store.engine.dialect.name == "postgresql":  # the count waits for this lock
            other = held.enter_context(store.engine.begin())
            other.execute(sa.text("LOCK TABLE catalogue IN ACCESS EXCLUSIVE MODE"))
        for name in FACETS:
            wanted = Filter(min_confidence=0.4)  # no counter answers this
            assert facet(store.engine, wanted, name, seconds=0.0) is None
    assert facet(store.engine, wanted, "label", seconds=60)


def test_a_picture_shows_its_past_and_its_copies(store: Catalogue) -> None:
    put(store, [labelled("/a.jpg", content_hash="h"), labelled("/b.jpg", content_hash="h")])
    first, second = rows(store.engine, Filter())
    apply(store.engine, [Correction(first.id, "shoes", "blurred")], "mara")
    apply(store.engine, [Correction(first.id, None)], "noor")
    shown = picture(store.engine, first.id)
    assert shown is not None
    assert (shown.row.path, [row.id for row in shown.same_bytes]) == ("/a.jpg", [second.id])
    assert [(c.corrected_by, c.from_label, c.to_label, c.note) for c in shown.corrections] == [
        ("noor", "shoes", None, None),
        ("mara", "shoes/female/sandals", "shoes", "blurred"),
    ]
    store.claim(CRAWL, [FileState("/a.jpg", 10, 1.5)], "me", LEASE_SECONDS, OTHER_MODEL)
    shown = picture(store.engine, first.id)
    assert shown is not None
    assert [(past.label, past.model_version) for past in shown.labels] == [
        ("shoes/female/sandals", MODEL)
    ]
    assert picture(store.engine, 10**9) is None
