"""The decisions about claims, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from db.records import FileState
from db.writes.leases import ClaimRequest, Decision, RowState, decide

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SOON, BEFORE = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)
REQUEST = ClaimRequest("me", "model-1", NOW)
LATE_MESSAGE = replace(REQUEST, reopen=False)
FILE = FileState("/a", 10, 1.5)
FREE = RowState(1, b"k", "pending", 10, 1.5, "model-1", 0, 0, None, None, False)
HELD = replace(FREE, claimed_by="other", claimed_until=SOON)
LAPSED = replace(FREE, claimed_by="other", claimed_until=BEFORE)
DEAD = replace(LAPSED, claimed_by="dead: other")
DONE = replace(FREE, status="labelled")
MISSING = replace(FREE, status="rejected", reason="missing", size=None, mtime=None)

CASES = [
    ("free", FREE, FILE, REQUEST, Decision.LEASE),
    ("leased by the caller", replace(HELD, claimed_by="me"), FILE, REQUEST, Decision.LEASE),
    ("leased by another", HELD, FILE, REQUEST, Decision.BUSY),
    ("its worker died", DEAD, FILE, REQUEST, Decision.COUNT_DEATH),
    ("its lease ran out", LAPSED, FILE, REQUEST, Decision.LAPSED),
    ("its lease ends now", replace(LAPSED, claimed_until=NOW), FILE, REQUEST, Decision.LAPSED),
    (
        "its lease ran out while it ran alone after a death alone: no proof of another",
        replace(LAPSED, attempts=2, deaths_alone=1, claimed_alone=True),
        FILE,
        REQUEST,
        Decision.LAPSED,
    ),
    ("a suspect that is free", replace(FREE, attempts=1), FILE, REQUEST, Decision.SUSPECT),
    (
        "first death alone",
        replace(DEAD, attempts=1, claimed_alone=True),
        FILE,
        REQUEST,
        Decision.COUNT_DEATH,
    ),
    (
        "second death alone",
        replace(DEAD, attempts=2, deaths_alone=1, claimed_alone=True),
        FILE,
        REQUEST,
        Decision.QUARANTINE,
    ),
    (
        "many deaths, never alone",
        replace(DEAD, attempts=7, deaths_alone=1),
        FILE,
        REQUEST,
        Decision.COUNT_DEATH,
    ),
    ("done", DONE, FILE, REQUEST, Decision.DONE),
    ("done, file not looked at", DONE, FileState("/a"), REQUEST, Decision.DONE),
    ("done, other size", DONE, FileState("/a", 11, 1.5), REQUEST, Decision.REOPEN),
    ("done, other time", DONE, FileState("/a", 10, 2.5), REQUEST, Decision.REOPEN),
    ("missing, seen again", MISSING, FILE, REQUEST, Decision.REOPEN),
    ("missing, not looked at", MISSING, FileState("/a"), REQUEST, Decision.DONE),
    ("done by another model", replace(DONE, model_version="0"), FILE, REQUEST, Decision.REOPEN),
    (
        "done by another model, late message",
        replace(DONE, model_version="0"),
        FILE,
        LATE_MESSAGE,
        Decision.DONE,
    ),
    ("done, changed, late message", DONE, FileState("/a", 11), LATE_MESSAGE, Decision.DONE),
    ("waits for another model", replace(FREE, model_version="0"), FILE, REQUEST, Decision.LEASE),
    (
        "waits for another model, late message",
        replace(FREE, model_version="0"),
        FILE,
        LATE_MESSAGE,
        Decision.DONE,
    ),
    ("rejected", replace(DONE, status="rejected"), FILE, REQUEST, Decision.DONE),
    (
        "quarantined stays so under another model",
        replace(DONE, status="quarantined", model_version="0"),
        FILE,
        REQUEST,
        Decision.DONE,
    ),
    (
        "quarantined, but another file now",
        replace(DONE, status="quarantined"),
        FileState("/a", 11, 1.5),
        REQUEST,
        Decision.REOPEN,
    ),
    (
        "cancelled stays so",
        replace(DONE, status="cancelled"),
        FileState("/a", 11, 1.5),
        REQUEST,
        Decision.DONE,
    ),
]


@pytest.mark.parametrize(
    ("row", "file", "claim", "expected"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_decide(row: RowState, file: FileState, claim: ClaimRequest, expected: Decision) -> None:
    assert decide(row, file, claim) is expected
