"""A newer request for a picture is not lost, and what was forgotten or archived stays away."""

from __future__ import annotations

from pathlib import Path

import pytest

from db import housekeeping, ledger
from db.catalogue import Catalogue
from db.queries import Filter, rows
from db.records import FileState, PendingRow
from tests.db.samples import CRAWL, LEASE_SECONDS, MODEL, OTHER_MODEL, labelled, put

FILE = FileState("/a", 10, 1.5)
SEEN = PendingRow("/a", 10, 1.5)


def claimed(store: Catalogue, owner: str = "A", model: str = MODEL) -> dict[str, int | None]:
    """The generations of a claim for a message that asks for /a."""
    claim = store.claim(CRAWL, [FileState("/a")], owner, LEASE_SECONDS, model, reopen=False)
    return {file.path: file.generation for file in claim.todo}


def status(store: Catalogue) -> dict[str, tuple[str, str | None]]:
    return {row.path: (row.status, row.model_version) for row in rows(store.engine, Filter())}


@pytest.mark.parametrize(
    ("seen", "model"),
    [(SEEN, OTHER_MODEL), (PendingRow("/a", 11, 1.5), MODEL), (PendingRow("/a", 10, 2.5), MODEL)],
    ids=["another model", "another size", "another time"],
)
def test_a_result_of_an_earlier_request_is_not_stored(
    store: Catalogue, seen: PendingRow, model: str
) -> None:
    """A holds a lease, the picture is enqueued anew, A stores, and then the new message arrives."""
    store.add_pending(CRAWL, [SEEN], MODEL)
    first = claimed(store)
    store.add_pending(CRAWL, [seen], model)
    assert store.store(CRAWL, "A", MODEL, [labelled("/a")], generations=first) == 0
    second = claimed(store, "B", model)
    assert store.store(CRAWL, "A", MODEL, [labelled("/a")], generations=first) == 0
    assert store.store(CRAWL, "B", model, [labelled("/a")], generations=second) == 1
    assert status(store) == {"/a": ("labelled", model)}


def test_the_same_request_twice_wastes_no_work(store: Catalogue) -> None:
    store.add_pending(CRAWL, [SEEN], MODEL)
    first = claimed(store)
    store.add_pending(CRAWL, [SEEN], MODEL)
    assert store.store(CRAWL, "A", MODEL, [labelled("/a")], generations=first) == 1


def test_a_result_from_before_a_cancel_is_not_stored_after_it(store: Catalogue) -> None:
    store.add_pending(CRAWL, [SEEN], MODEL)
    first = claimed(store)
    ledger.cancel(store.engine, CRAWL)
    store.add_pending(CRAWL, [SEEN], MODEL)
    assert store.store(CRAWL, "A", MODEL, [labelled("/a")], generations=first) == 0
    assert status(store)["/a"][0] == "pending"


def test_a_result_of_another_model_is_not_stored(store: Catalogue) -> None:
    """Whatever the caller says about generations."""
    store.add_pending(CRAWL, [SEEN], OTHER_MODEL)
    assert store.store(CRAWL, "A", MODEL, [labelled("/a")]) == 0


def test_a_suspect_that_was_asked_for_anew_is_not_run_for_the_old_request(
    store: Catalogue,
) -> None:
    store.add_pending(CRAWL, [SEEN], MODEL)
    claimed(store)
    store.expire("A")
    claim = store.claim(CRAWL, [FileState("/a")], "B", LEASE_SECONDS, MODEL, reopen=False)
    store.add_pending(CRAWL, [PendingRow("/a", 11, 1.5)], MODEL)
    old, lease = claim.suspects[0].generation, ("B", LEASE_SECONDS, MODEL)
    assert not store.claim_alone(CRAWL, "/a", *lease, generation=old)
    assert store.claim_alone(CRAWL, "/a", *lease, generation=(old or 0) + 1)


def test_a_message_brings_no_picture_back(store: Catalogue) -> None:
    store.add_pending(CRAWL, [SEEN, PendingRow("/b")], MODEL)
    housekeeping.forget(store.engine, "path", "/a", by="mara")
    files = [FileState("/a"), FileState("/b")]
    claim = store.claim(CRAWL, files, "A", LEASE_SECONDS, MODEL, reopen=False)
    assert (claim.gone, [file.path for file in claim.todo]) == (["/a"], ["/b"])
    assert set(status(store)) == {"/b"}


def test_what_is_forgotten_in_the_middle_of_the_work_stays_so(store: Catalogue) -> None:
    store.add_pending(CRAWL, [SEEN], MODEL)
    first = claimed(store)
    housekeeping.forget(store.engine, "path", "/a", by="mara")
    assert store.store(CRAWL, "A", MODEL, [labelled("/a")], generations=first) == 0
    assert status(store) == {}


@pytest.mark.parametrize(("kind", "value"), [("path", "/a"), ("crawl", CRAWL), ("archive", CRAWL)])
def test_a_direct_request_adds_what_was_forgotten_or_archived_only_again(
    store: Catalogue, tmp_path: Path, kind: str, value: str
) -> None:
    put(store, [labelled("/a")])
    if kind == "archive":
        housekeeping.archive(store.engine, CRAWL, tmp_path / "spring.jsonl")
    else:
        housekeeping.forget(store.engine, kind, value, by="mara")
    lease = ("A", LEASE_SECONDS, MODEL)
    assert store.claim(CRAWL, [FILE], *lease).gone == ["/a"]
    assert status(store) == {}
    assert store.claim(CRAWL, [FILE], *lease, again=True).todo == [FILE]
    store.release(CRAWL, "A")
    assert store.claim(CRAWL, [FILE], *lease).todo == [FILE]  # it is back


def test_forgotten_bytes_come_back_only_again(store: Catalogue) -> None:
    put(store, [labelled("/a", content_hash="h")])
    housekeeping.forget(store.engine, "hash", "h", by="mara")
    outcome, lease = labelled("/copy", content_hash="h"), ("A", LEASE_SECONDS, MODEL)
    store.claim(CRAWL, [FileState("/copy")], *lease)
    assert store.store(CRAWL, "A", MODEL, [outcome]) == 0
    assert status(store) == {}
    store.claim(CRAWL, [FileState("/copy")], *lease, again=True)
    assert store.store(CRAWL, "A", MODEL, [outcome], again=True) == 1
    store.claim(CRAWL, [FileState("/copy")], "A", LEASE_SECONDS, OTHER_MODEL)
    assert store.store(CRAWL, "A", OTHER_MODEL, [outcome]) == 1  # a person brought it back
