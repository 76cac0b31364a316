"""The table of who may work on a row, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from db.records import FileState
from db.writes.leases import Asking, RowState, Verdict, judge

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SOON, BEFORE = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)
ASKING = Asking("me", "model-1", NOW)
LATE_MESSAGE = replace(ASKING, reopen=False)
FILE = FileState("/a", 10, 1.5)
FREE = RowState(1, b"k", "pending", 10, 1.5, "model-1", 0, 0, None, None, False)
HELD = replace(FREE, claimed_by="other", claimed_until=SOON)
DEAD = replace(FREE, claimed_by="other", claimed_until=BEFORE)
DONE = replace(FREE, status="labelled")
MISSING = replace(FREE, status="rejected", reason="missing", size=None, mtime=None)

CASES = [
    ("nobody has it", FREE, FILE, ASKING, Verdict.TODO),
    ("mine already", replace(HELD, claimed_by="me"), FILE, ASKING, Verdict.TODO),
    ("held", HELD, FILE, ASKING, Verdict.BUSY),
    ("its worker died", DEAD, FILE, ASKING, Verdict.TAKE_OVER),
    ("a lease that ends now", replace(DEAD, claimed_until=NOW), FILE, ASKING, Verdict.TAKE_OVER),
    ("a suspect that is free", replace(FREE, attempts=1), FILE, ASKING, Verdict.SUSPECT),
    (
        "first death alone",
        replace(DEAD, attempts=1, claimed_alone=True),
        FILE,
        ASKING,
        Verdict.TAKE_OVER,
    ),
    (
        "second death alone",
        replace(DEAD, attempts=2, deaths_alone=1, claimed_alone=True),
        FILE,
        ASKING,
        Verdict.QUARANTINE,
    ),
    (
        "many deaths, never alone",
        replace(DEAD, attempts=7, deaths_alone=1),
        FILE,
        ASKING,
        Verdict.TAKE_OVER,
    ),
    ("done", DONE, FILE, ASKING, Verdict.DONE),
    ("done, file not looked at", DONE, FileState("/a"), ASKING, Verdict.DONE),
    ("done, other size", DONE, FileState("/a", 11, 1.5), ASKING, Verdict.REOPEN),
    ("done, other time", DONE, FileState("/a", 10, 2.5), ASKING, Verdict.REOPEN),
    ("missing, seen again", MISSING, FILE, ASKING, Verdict.REOPEN),
    ("missing, not looked at", MISSING, FileState("/a"), ASKING, Verdict.DONE),
    ("done by another model", replace(DONE, model_version="0"), FILE, ASKING, Verdict.REOPEN),
    (
        "done by another model, late message",
        replace(DONE, model_version="0"),
        FILE,
        LATE_MESSAGE,
        Verdict.DONE,
    ),
    ("done, changed, late message", DONE, FileState("/a", 11), LATE_MESSAGE, Verdict.DONE),
    ("waits for another model", replace(FREE, model_version="0"), FILE, ASKING, Verdict.TODO),
    (
        "waits for another model, late message",
        replace(FREE, model_version="0"),
        FILE,
        LATE_MESSAGE,
        Verdict.DONE,
    ),
    ("rejected", replace(DONE, status="rejected"), FILE, ASKING, Verdict.DONE),
    (
        "quarantined stays so under another model",
        replace(DONE, status="quarantined", model_version="0"),
        FILE,
        ASKING,
        Verdict.DONE,
    ),
    (
        "quarantined, but another file now",
        replace(DONE, status="quarantined"),
        FileState("/a", 11, 1.5),
        ASKING,
        Verdict.REOPEN,
    ),
    (
        "cancelled stays so",
        replace(DONE, status="cancelled"),
        FileState("/a", 11, 1.5),
        ASKING,
        Verdict.DONE,
    ),
]


@pytest.mark.parametrize(
    ("row", "file", "asking", "expected"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_judge(row: RowState, file: FileState, asking: Asking, expected: Verdict) -> None:
    assert judge(row, file, asking) is expected
