"""The write operations on SQLite and PostgreSQL: claims, deaths of workers, stores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from db import ledger
from db.catalogue import Catalogue
from db.errors import InvalidRecord, UnknownLabel
from db.records import STATUSES, FileState, LabelEntry, PendingRow
from db.tables import catalogue as table
from db.tables import label_history
from tests.db.samples import (
    CRAWL,
    DEAD_AT_ONCE,
    LEASE_SECONDS,
    MODEL,
    NASTY_PATHS,
    OTHER_MODEL,
    SANDALS,
    SUNGLASSES,
    labelled,
    rejected,
    sandals,
)


def claim(store: Catalogue, *paths: str, owner: str = "me", model: str = MODEL, **more: Any) -> Any:
    seconds = more.pop("seconds", LEASE_SECONDS)
    files = [FileState(path, 10, 1.5) for path in paths]
    return store.claim(CRAWL, files, owner, seconds, model, **more)


def everything(store: Catalogue) -> list[dict[str, Any]]:
    with store.engine.connect() as connection:
        found = connection.execute(sa.select(table).order_by(table.c.id)).mappings()
        return [dict(row) for row in found]


def one(store: Catalogue, path: str) -> dict[str, Any]:
    rows = [row for row in everything(store) if row["path"] == path]
    assert len(rows) == 1
    return rows[0]


def history(store: Catalogue) -> list[tuple[str, str]]:
    with store.engine.connect() as connection:
        query = sa.select(table.c.path, label_history.c.model_label, label_history.c.model_version)
        query = query.join(label_history, label_history.c.catalogue_id == table.c.id)
        return [tuple(row) for row in connection.execute(query.order_by(label_history.c.id))]


# failures first


def test_store_with_unregistered_label_stores_nothing(catalogue: Catalogue) -> None:
    catalogue.register_model(MODEL, [LabelEntry("glasses/sunglasses", "glasses")])
    claim(catalogue, "/a", "/b")
    batch = [labelled("/a", SUNGLASSES), labelled("/b", SANDALS)]
    with pytest.raises(UnknownLabel, match="shoes/female/sandals"):
        catalogue.store(CRAWL, "me", MODEL, batch)
    assert [row["status"] for row in everything(catalogue)] == ["pending", "pending"]


@pytest.mark.parametrize("bad", [float("nan"), 1.2, -0.2])
def test_store_with_invalid_confidence_stores_nothing(store: Catalogue, bad: float) -> None:
    claim(store, "/a", "/b")
    with pytest.raises(InvalidRecord, match="/b: margin"):
        store.store(CRAWL, "me", MODEL, [labelled("/a"), labelled("/b", sandals(margin=bad))])
    assert [row["status"] for row in everything(store)] == ["pending", "pending"]


def test_confidence_above_one_by_rounding_is_clipped(store: Catalogue) -> None:
    claim(store, "/a")
    store.store(CRAWL, "me", MODEL, [labelled("/a", sandals(category_confidence=1.0000001))])
    assert one(store, "/a")["category_confidence"] == 1.0


@pytest.mark.parametrize(
    "outcome",
    [
        replace(labelled("/a"), fields=None),
        replace(rejected("/a"), reason=None),
        replace(labelled("/a"), status="pending"),
    ],
)
def test_incomplete_outcome_is_refused(store: Catalogue, outcome: Any) -> None:
    with pytest.raises(InvalidRecord, match="/a: expected status"):
        store.store(CRAWL, "me", MODEL, [outcome])


@pytest.mark.parametrize("path", ["/nul\0.jpg", "/surrogate\udce9.jpg"])
def test_path_that_is_no_valid_text_is_refused(store: Catalogue, path: str) -> None:
    with pytest.raises(InvalidRecord, match="path: expected text"):
        claim(store, path)
    with pytest.raises(InvalidRecord, match="path: expected text"):
        store.add_pending(CRAWL, [PendingRow(path)], MODEL)
    assert everything(store) == []


def test_constraints_refuse_incomplete_rows(store: Catalogue) -> None:
    claim(store, "/a")
    for values in (
        {"status": "labelled"},
        {"status": "no such status"},
        {"status": "rejected"},
        {"confidence": 1.5},
        {"best_leaf_confidence": 1.5},
        {"second_leaf_confidence": -0.5},
        {"claimed_until": None},
        {"crawl": "no such crawl"},
    ):
        with pytest.raises(sa.exc.IntegrityError), store.engine.begin() as connection:
            connection.execute(sa.update(table).values(**values))


# claiming


def test_claim_leases_new_paths_and_commits(store: Catalogue) -> None:
    found = claim(store, "/a", "/b")
    assert [file.path for file in found.todo] == ["/a", "/b"]
    assert (found.suspects, found.done, found.busy, found.busy_seconds) == ([], [], [], None)
    assert [row["claimed_by"] for row in everything(store)] == ["me", "me"]
    assert [row["claimed_until"] > row["created_at"] for row in everything(store)] == [True, True]


def test_path_twice_in_one_claim_is_one_row(store: Catalogue) -> None:
    assert [file.path for file in claim(store, "/a", "/a").todo] == ["/a"]
    assert len(everything(store)) == 1


def test_live_lease_is_busy_with_remaining_seconds(store: Catalogue) -> None:
    claim(store, "/a")
    found = claim(store, "/a", "/b", owner="you")
    assert (found.busy, [file.path for file in found.todo]) == (["/a"], ["/b"])
    assert LEASE_SECONDS - 60 < found.busy_seconds <= LEASE_SECONDS
    assert one(store, "/a")["attempts"] == 0


def test_same_path_in_two_crawls_is_two_rows(store: Catalogue) -> None:
    for crawl in ("spring", "summer"):
        store.claim(crawl, [FileState("/a")], "me", LEASE_SECONDS, MODEL)
    assert [row["crawl"] for row in everything(store)] == ["spring", "summer"]
    assert ledger.crawl_names(store.engine) == ["spring", "summer"]


def test_claim_of_finished_rows_changes_nothing(store: Catalogue) -> None:
    claim(store, "/a", "/b")
    store.store(CRAWL, "me", MODEL, [labelled("/a"), rejected("/b")])
    before = everything(store)
    found = claim(store, "/a", "/b", owner="you")
    assert sorted(found.done) == ["/a", "/b"]
    assert found.todo == []
    assert everything(store) == before


def test_release_ends_leases_without_counting_a_death(store: Catalogue) -> None:
    claim(store, "/a", "/b")
    store.store(CRAWL, "me", MODEL, [labelled("/a")])
    assert store.release(CRAWL, "me") == 1
    assert [file.path for file in claim(store, "/b", owner="you").todo] == ["/b"]
    assert one(store, "/b")["attempts"] == 0


def test_renew_extends_only_own_leases(store: Catalogue) -> None:
    claim(store, "/a", seconds=DEAD_AT_ONCE)
    claim(store, "/b", owner="you")
    assert store.renew(CRAWL, "me", ["/a", "/b", "/unknown"], LEASE_SECONDS) == 1
    assert claim(store, "/a", owner="you").busy == ["/a"]


# deaths


def test_expired_lease_makes_a_suspect_and_counts_once(store: Catalogue) -> None:
    claim(store, "/a", "/b", seconds=DEAD_AT_ONCE)
    found = claim(store, "/a", "/b", owner="you")
    assert [file.path for file in found.suspects] == ["/a", "/b"]
    assert found.todo == []
    row = one(store, "/a")
    assert (row["attempts"], row["deaths_alone"], row["claimed_by"]) == (1, 0, None)
    again = claim(store, "/a", owner="third")
    assert [file.path for file in again.suspects] == ["/a"]
    assert one(store, "/a")["attempts"] == 1


def test_expire_frees_rows_of_a_dead_worker_at_once(store: Catalogue) -> None:
    claim(store, "/a")
    assert store.expire("me") == 1
    assert [file.path for file in claim(store, "/a", owner="you").suspects] == ["/a"]


def test_suspect_is_leased_by_one_worker_and_marked_alone(store: Catalogue) -> None:
    claim(store, "/a", seconds=DEAD_AT_ONCE)
    claim(store, "/a", owner="you")
    assert store.claim_alone(CRAWL, "/a", "you", LEASE_SECONDS, MODEL)
    assert one(store, "/a")["claimed_alone"]
    assert not store.claim_alone(CRAWL, "/a", "third", LEASE_SECONDS, MODEL)
    assert claim(store, "/a", owner="third").busy == ["/a"]
    store.store(CRAWL, "you", MODEL, [labelled("/a")])
    row = one(store, "/a")
    assert (row["status"], row["claimed_alone"], row["attempts"]) == ("labelled", False, 1)
    assert not store.claim_alone(CRAWL, "/a", "you", LEASE_SECONDS, MODEL)


def test_poison_is_quarantined_after_two_deaths_alone_and_other_rows_are_labelled(
    store: Catalogue,
) -> None:
    paths, poison, lives = [f"/{n}" for n in range(8)], {"/2", "/5"}, 0
    # one life of a worker after the other; a poison picture ends the life that runs it
    while ledger.counts(store.engine, CRAWL)["pending"] or lives == 0:
        lives += 1
        assert lives < 20
        work_until_death(store, f"life {lives}", paths, poison)
        store.expire(f"life {lives}")
    assert ledger.counts(store.engine, CRAWL) == {
        "pending": 0,
        "labelled": 6,
        "rejected": 0,
        "quarantined": 2,
        "cancelled": 0,
    }
    for path in poison:
        row = one(store, path)
        assert (row["reason"], row["attempts"], row["deaths_alone"]) == ("worker_died", 3, 2)
        assert row["claimed_by"] is None
    assert lives == 1 + 2 * len(poison) + 1


def work_until_death(store: Catalogue, owner: str, paths: list[str], poison: set[str]) -> None:
    """Process a shard as described in db/catalogue.py; a return stands for the worker's death."""
    found = claim(store, *paths, owner=owner, seconds=DEAD_AT_ONCE)
    if poison & {file.path for file in found.todo}:
        return
    store.store(CRAWL, owner, MODEL, [labelled(file.path) for file in found.todo])
    for suspect in found.suspects:
        if not store.claim_alone(CRAWL, suspect.path, owner, DEAD_AT_ONCE, MODEL):
            continue
        if suspect.path in poison:
            return
        store.store(CRAWL, owner, MODEL, [labelled(suspect.path)])


def test_leases_that_ran_out_while_it_ran_alone_are_no_deaths(store: Catalogue) -> None:
    """Its workers were stopped, slow or cut off; nobody saw one die."""
    claim(store, "/a", seconds=DEAD_AT_ONCE)
    for life in range(5):
        assert store.claim_alone(CRAWL, "/a", f"life {life}", DEAD_AT_ONCE, MODEL)
    found = claim(store, "/a", owner="last")
    assert ([file.path for file in found.suspects], found.quarantined) == (["/a"], [])
    assert one(store, "/a")["deaths_alone"] == 0
    assert store.claim_alone(CRAWL, "/a", "last", LEASE_SECONDS, MODEL)
    assert store.store(CRAWL, "last", MODEL, [labelled("/a")]) == 1


def test_a_death_is_recorded_once(store: Catalogue) -> None:
    claim(store, "/a", owner="life 1")
    assert (store.owners(), store.expire("life 1")) == (["life 1"], 1)
    assert (store.owners(), store.expire("life 1")) == ([], 0)
    assert store.store(CRAWL, "life 1", MODEL, [labelled("/a")]) == 0  # the dead write nothing


def test_quarantine_is_reported_by_the_claim_that_made_it(store: Catalogue) -> None:
    claim(store, "/a", seconds=DEAD_AT_ONCE)
    for life in range(2):
        assert store.claim_alone(CRAWL, "/a", f"life {life}", LEASE_SECONDS, MODEL)
        assert store.expire(f"life {life}") == 1
    assert claim(store, "/a", owner="last").quarantined == ["/a"]
    assert claim(store, "/a", owner="last").done == ["/a"]
    (released,) = ledger.release_quarantined(store.engine, CRAWL)
    assert (released.path, released.status, released.model_version) == ("/a", "quarantined", MODEL)
    assert [file.path for file in claim(store, "/a", owner="last").todo] == ["/a"]


# storing


def test_storing_twice_changes_nothing(store: Catalogue) -> None:
    claim(store, "/a", "/b")
    batch = [labelled("/a"), rejected("/b")]
    assert store.store(CRAWL, "me", MODEL, batch) == 2
    before = everything(store)
    assert store.store(CRAWL, "me", MODEL, batch) == 0
    assert store.store(CRAWL, "another", MODEL, [labelled("/a", SUNGLASSES)]) == 0
    assert everything(store) == before


def test_stored_values_equal_the_outcome(store: Catalogue) -> None:
    claim(store, "/a", "/b", "/c")
    batch = [labelled("/a"), labelled("/b", SUNGLASSES), rejected("/c", "empty")]
    store.store(CRAWL, "me", MODEL, batch)
    row = one(store, "/b")
    for name, value in vars(SUNGLASSES).items():
        assert row[name] == value, name
    assert (row["status"], row["size"], row["mtime"]) == ("labelled", 10, 1.5)
    assert (row["model_version"], row["content_hash"]) == (MODEL, "hash of /b")
    assert row["labelled_at"] is not None
    assert row["claimed_by"] is None
    row = one(store, "/c")
    assert (row["status"], row["reason"], row["label"]) == ("rejected", "empty", None)
    assert row["labelled_at"] is None


def test_path_twice_in_one_batch_is_stored_once(store: Catalogue) -> None:
    claim(store, "/a")
    batch = [labelled("/a", SUNGLASSES), labelled("/a", SANDALS)]
    assert store.store(CRAWL, "me", MODEL, batch) == 1
    assert one(store, "/a")["label"] == "shoes/female/sandals"


def test_row_leased_by_another_worker_is_not_stored(store: Catalogue) -> None:
    claim(store, "/a", seconds=DEAD_AT_ONCE)
    claim(store, "/a", owner="you")
    assert store.claim_alone(CRAWL, "/a", "you", LEASE_SECONDS, MODEL)
    assert store.store(CRAWL, "me", MODEL, [rejected("/a")]) == 0
    row = one(store, "/a")
    assert (row["status"], row["claimed_by"]) == ("pending", "you")


def test_a_path_without_a_row_is_not_stored(store: Catalogue) -> None:
    """It was forgotten or archived while somebody worked on it."""
    assert store.store("new crawl", "me", MODEL, [labelled("/a")]) == 0
    assert ledger.crawl_names(store.engine) == []


def test_cancelled_row_stays_cancelled(store: Catalogue) -> None:
    claim(store, "/a", "/b")
    store.store(CRAWL, "me", MODEL, [labelled("/b")])
    assert ledger.cancel(store.engine, CRAWL) == 1
    assert store.store(CRAWL, "me", MODEL, [labelled("/a")]) == 0
    assert claim(store, "/a").done == ["/a"]
    assert store.add_pending(CRAWL, [PendingRow("/a", 10, 1.5)], MODEL) == 1
    assert one(store, "/a")["status"] == "pending"


# the ledger


def test_adding_pending_rows_twice_adds_nothing(store: Catalogue) -> None:
    rows = [PendingRow(f"/{n}", 10, 1.5, url=f"https://shop/{n}", shop="s") for n in range(12_000)]
    assert store.add_pending(CRAWL, iter(rows), MODEL) == 12_000
    assert store.add_pending(CRAWL, rows, MODEL) == 12_000
    assert ledger.counts(store.engine, CRAWL)["pending"] == 12_000
    waiting = list(ledger.pending_paths(store.engine, CRAWL))
    assert sorted(waiting) == sorted((row.path, MODEL) for row in rows)
    assert one(store, "/77")["url"] == "https://shop/77"


def test_only_unfinished_rows_are_pending(store: Catalogue) -> None:
    rows = [PendingRow(path, 10, 1.5) for path in ("/a", "/b", "/c")]
    store.add_pending(CRAWL, rows, MODEL)
    claim(store, "/a", "/b", reopen=False)
    store.store(CRAWL, "me", MODEL, [labelled("/a"), rejected("/b")])
    assert store.add_pending(CRAWL, rows, MODEL) == 1
    assert list(ledger.pending_paths(store.engine, CRAWL)) == [("/c", MODEL)]


def test_leased_rows_are_not_pending_paths(store: Catalogue) -> None:
    store.add_pending(CRAWL, [PendingRow("/a"), PendingRow("/b"), PendingRow("/c")], MODEL)
    claim(store, "/a")
    claim(store, "/b", seconds=DEAD_AT_ONCE)
    assert [path for path, _ in ledger.pending_paths(store.engine, CRAWL)] == ["/b", "/c"]


def test_recrawl_updates_descriptions_and_keeps_the_others(store: Catalogue) -> None:
    store.add_pending(CRAWL, [PendingRow("/a", url="https://old", shop="s")], MODEL)
    store.add_pending(CRAWL, [PendingRow("/a", url="https://new", product_id="7")], MODEL)
    row = one(store, "/a")
    assert (row["url"], row["shop"], row["product_id"]) == ("https://new", "s", "7")


@pytest.mark.parametrize("by", ["claim", "add_pending"])
def test_changed_file_is_pending_again_and_its_label_is_kept(store: Catalogue, by: str) -> None:
    claim(store, "/a", "/b")
    store.store(CRAWL, "me", MODEL, [labelled("/a"), labelled("/b", SUNGLASSES)])
    if by == "claim":
        found = store.claim(CRAWL, [FileState("/b", 99, 1.5)], "me", LEASE_SECONDS, MODEL)
        assert [file.path for file in found.todo] == ["/b"]
    else:
        assert store.add_pending(CRAWL, [PendingRow("/b", 99, 1.5)], MODEL) == 1
        assert store.add_pending(CRAWL, [PendingRow("/b", 99, 1.5)], MODEL) == 1
    row = one(store, "/b")
    assert (row["status"], row["label"], row["confidence"]) == ("pending", None, None)
    assert history(store) == [("/b", "glasses/sunglasses", MODEL)]
    assert one(store, "/a")["status"] == "labelled"


def test_another_model_replaces_the_label_and_keeps_the_old_one(store: Catalogue) -> None:
    claim(store, "/a")
    store.store(CRAWL, "me", MODEL, [labelled("/a")])
    assert claim(store, "/a", model=OTHER_MODEL).todo
    store.store(CRAWL, "me", OTHER_MODEL, [labelled("/a", SUNGLASSES)])
    row = one(store, "/a")
    assert (row["label"], row["model_version"]) == ("glasses/sunglasses", OTHER_MODEL)
    assert history(store) == [("/a", "shoes/female/sandals", MODEL)]


def test_late_message_of_an_old_model_changes_nothing(store: Catalogue) -> None:
    claim(store, "/a", model=OTHER_MODEL)
    store.store(CRAWL, "me", OTHER_MODEL, [labelled("/a")])
    store.add_pending(CRAWL, [PendingRow("/b")], OTHER_MODEL)
    found = claim(store, "/a", "/b", reopen=False)
    assert sorted(found.done) == ["/a", "/b"]
    assert history(store) == []


# the same bytes


def test_labels_by_hash_are_of_one_model(store: Catalogue) -> None:
    claim(store, "/a", "/b", "/c", "/d")
    batch = [
        labelled("/a", content_hash="same"),
        labelled("/b", content_hash="same"),
        labelled("/c", SUNGLASSES, content_hash="glasses"),
        rejected("/d"),
    ]
    store.store(CRAWL, "me", MODEL, batch)
    asked = ["same", "glasses", "hash of /d", "unknown"]
    assert store.labels_by_hash(asked, MODEL) == {"same": SANDALS, "glasses": SUNGLASSES}
    assert store.labels_by_hash(asked, OTHER_MODEL) == {}
    assert store.labels_by_hash([], MODEL) == {}


def test_leaves_and_probabilities_are_stored_and_kept_in_the_history(store: Catalogue) -> None:
    names = (
        *("best_leaf", "best_leaf_confidence", "second_leaf", "second_leaf_confidence"),
        "leaf_probabilities",
    )
    claim(store, "/a")
    store.store(CRAWL, "me", MODEL, [labelled("/a")])
    assert {name: one(store, "/a")[name] for name in names} == {
        "best_leaf": "shoes/female/sandals",
        "best_leaf_confidence": 0.9,
        "second_leaf": "shoes/male/sandals",
        "second_leaf_confidence": 0.1,
        "leaf_probabilities": '{"shoes/female/sandals": 0.9, "shoes/male/sandals": 0.1}',
    }
    claim(store, "/a", model=OTHER_MODEL)  # pending again, without an answer
    assert {one(store, "/a")[name] for name in names} == {None}
    with store.engine.connect() as connection:
        kept = connection.execute(sa.select(*(label_history.c[name] for name in names))).one()
    assert kept == tuple(getattr(SANDALS, name) for name in names)


def test_unusual_paths_are_stored_unchanged(store: Catalogue) -> None:
    store.add_pending(CRAWL, [PendingRow(path, 10, 1.5) for path in NASTY_PATHS], MODEL)
    found = claim(store, *NASTY_PATHS, reopen=False)
    assert [file.path for file in found.todo] == NASTY_PATHS
    assert store.store(CRAWL, "me", MODEL, [labelled(path) for path in NASTY_PATHS]) == 10
    assert [row["path"] for row in everything(store)] == sorted(
        NASTY_PATHS, key=lambda path: one(store, path)["path_key"]
    )


def test_counts_include_every_status(store: Catalogue) -> None:
    assert ledger.counts(store.engine) == dict.fromkeys(STATUSES, 0)
