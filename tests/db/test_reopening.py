"""Rejected and quarantined rows that a person chose are pending again, and no others."""

from __future__ import annotations

import pytest

from db import ledger
from db.catalogue import Catalogue
from db.check import check
from db.errors import InvalidRecord
from db.queries import Filter, rows
from db.records import PendingRow
from tests.db.samples import CRAWL, MODEL, labelled, put, quarantine, register, rejected


@pytest.fixture
def store(catalogue: Catalogue) -> Catalogue:
    """A labelled, three rejected, a quarantined, a pending and two cancelled rows."""
    register(catalogue)
    put(catalogue, [rejected("/gone", "missing")], crawl="old")
    catalogue.add_pending("old", [PendingRow("/stopped"), PendingRow("/stopped2")], None)
    ledger.cancel(catalogue.engine, "old")
    put(catalogue, [labelled("/good"), rejected("/cut"), rejected("/no", "missing")])
    quarantine(catalogue, "/poison")
    catalogue.add_pending(CRAWL, [PendingRow("/waits")], None)
    return catalogue


def statuses(store: Catalogue) -> dict[str, str]:
    return {row.path: row.status for row in rows(store.engine, Filter())}


BEFORE = {
    **{"/gone": "rejected", "/stopped": "cancelled", "/stopped2": "cancelled"},
    **{"/good": "labelled", "/cut": "rejected", "/no": "rejected"},
    **{"/poison": "quarantined", "/waits": "pending"},
}


def test_of_chosen_rows_only_rejected_and_quarantined_ones_are_reopened(store: Catalogue) -> None:
    assert statuses(store) == BEFORE
    ids = {row.path: row.id for row in rows(store.engine, Filter())}
    chosen = [ids[path] for path in ("/poison", "/good", "/cut", "/stopped", "/waits")]
    found = ledger.reopen_rows(store.engine, [*chosen, chosen[0], 10**9])
    assert [tuple(row) for row in found] == sorted(
        [
            (ids["/cut"], CRAWL, "/cut", "rejected", MODEL),
            (ids["/poison"], CRAWL, "/poison", "quarantined", MODEL),
        ]
    )
    assert statuses(store) == BEFORE | {"/cut": "pending", "/poison": "pending"}
    assert ledger.reopen_rows(store.engine, chosen) == []  # a second time changes nothing
    assert check(store.engine) == []


@pytest.mark.parametrize("page", [1, 2, 10])
def test_all_rows_of_a_filter_are_reopened_in_pages(
    store: Catalogue, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PATHS_PER_PAGE", page)
    pages = list(ledger.reopen_filter(store.engine, Filter(reason="missing"), 2))
    assert sorted(row.path for found in pages for row in found) == ["/gone", "/no"]
    assert max(map(len, pages)) <= page
    assert statuses(store) == BEFORE | {"/gone": "pending", "/no": "pending"}
    assert check(store.engine) == []


def test_everything_can_be_reopened_but_what_was_cancelled(store: Catalogue) -> None:
    found = [row for page in ledger.reopen_filter(store.engine, Filter(), 4) for row in page]
    assert {(row.crawl, row.path) for row in found} == {
        ("old", "/gone"),
        *((CRAWL, path) for path in ("/cut", "/no", "/poison")),
    }
    assert {row.status for row in rows(store.engine, Filter())} == {
        "labelled",
        "pending",
        "cancelled",
    }


def test_another_number_than_the_confirmed_one_changes_nothing(store: Catalogue) -> None:
    for number in (0, 1, 3):
        with pytest.raises(InvalidRecord, match=f"expected {number} rejected"):
            list(ledger.reopen_filter(store.engine, Filter(status="rejected", crawl=CRAWL), number))
    assert statuses(store) == BEFORE


def test_a_row_that_is_rejected_again_meanwhile_is_reopened_once(store: Catalogue) -> None:
    pages = ledger.reopen_filter(store.engine, Filter(status="rejected"), 3)
    first = next(pages)
    assert len(first) == 3
    put(store, [rejected("/cut")])
    assert list(pages) == []
    assert statuses(store)["/cut"] == "rejected"
