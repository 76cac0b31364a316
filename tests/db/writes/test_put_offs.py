"""Rows whose files cannot be read for now: they wait, and are rejected only after ten minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from db import clocks
from db.catalogue import Catalogue
from db.records import FileState, Outcome, PendingRow
from db.tables import catalogue as table

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = "[Errno 5] Input/output error: '/a'"
PUT_OFF = Outcome("/a", "put_off", None, None, None, detail=WORDS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    now = [START]
    monkeypatch.setattr(clocks, "now", lambda connection: now[0])
    return now


def row(store: Catalogue) -> dict[str, Any]:
    with store.engine.connect() as connection:
        return dict(connection.execute(sa.select(table)).mappings().one())


def claim(store: Catalogue, *, reopen: bool = False) -> Any:
    return store.claim("spring", [FileState("/a")], "w", 60.0, "model-1", reopen=reopen)


def test_row_is_put_off_five_times_over_ten_minutes_and_then_rejected(
    store: Catalogue, clock: list[datetime]
) -> None:
    store.add_pending("spring", [PendingRow("/a")], "model-1")
    for number, pause in enumerate((30, 60, 120, 180, 240), 1):
        assert [file.path for file in claim(store).todo] == ["/a"]
        assert store.store("spring", "w", "model-1", [PUT_OFF]) == 1
        found = row(store)
        assert (found["status"], found["reason"], found["detail"]) == ("pending", None, WORDS)
        assert (found["put_offs"], found["put_off_since"]) == (number, START)
        assert found["claimed_by"] is None
        assert found["attempts"] == 0
        clock[0] += timedelta(seconds=pause - 1)
        for waits in (claim(store), claim(store, reopen=True)):
            assert (waits.todo, waits.put_off, waits.put_off_seconds) == ([], ["/a"], 1.0)
        assert not store.claim_alone("spring", "/a", "w", 60.0, "model-1")
        clock[0] += timedelta(seconds=1)
    claim(store)
    assert store.store("spring", "w", "model-1", [PUT_OFF]) == 1
    found = row(store)
    assert clock[0] - START >= timedelta(minutes=10)
    assert (found["status"], found["reason"], found["detail"]) == ("rejected", "unreadable", WORDS)
    assert (found["put_offs"], found["put_off_since"], found["not_before"]) == (0, None, None)


def test_label_after_a_put_off_clears_it(store: Catalogue, clock: list[datetime]) -> None:
    store.add_pending("spring", [PendingRow("/a")], "model-1")
    claim(store)
    store.store("spring", "w", "model-1", [PUT_OFF])
    clock[0] += timedelta(seconds=30)
    claim(store)
    truncated = Outcome("/a", "rejected", 3, 1.0, "h", "truncated", detail="cut \0 at \udcff")
    store.store("spring", "w", "model-1", [truncated])
    found = row(store)
    assert (found["put_offs"], found["put_off_since"], found["not_before"]) == (0, None, None)
    assert found["detail"] == "cut \\0 at \\udcff"


def test_only_the_holder_puts_a_row_off(store: Catalogue, clock: list[datetime]) -> None:
    store.add_pending("spring", [PendingRow("/a")], "model-1")
    assert store.store("spring", "w", "model-1", [Outcome("/b", "put_off", None, None, None)]) == 0
    claim(store)
    assert store.store("spring", "other", "model-1", [PUT_OFF]) == 0
    assert row(store)["claimed_by"] == "w"


@pytest.mark.parametrize(
    ("reason", "again"), [("unreadable", True), ("outside_root", True), ("truncated", False)]
)
def test_next_run_tries_what_may_have_changed_without_the_file(
    store: Catalogue, reason: str, again: bool
) -> None:
    def reject() -> None:
        store.add_pending("spring", [PendingRow("/a")], "model-1")
        claim(store)
        outcome = Outcome("/a", "rejected", None, None, None, reason, detail="words")
        store.store("spring", "w", "model-1", [outcome])

    reject()
    assert claim(store).done == ["/a"]  # a late message
    assert bool(claim(store, reopen=True).todo) == again  # `label`
    reject()
    added = store.add_pending_chunk("spring", [PendingRow("/a")], "model-1")  # `enqueue`
    assert bool(added) == again
    assert row(store)["detail"] == (None if again else "words")
