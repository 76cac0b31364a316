"""A few hundred fixed cases of the fuzzer, and the fuzzer itself. At length: ``make fuzz``."""

from __future__ import annotations

import io
import random
import signal
from pathlib import Path

import pytest
from PIL import Image

from db.exports.review_table import write_review_table
from tests.fuzz import faulty, pictures, targets, texts
from tests.fuzz.known import is_known
from tests.fuzz.runner import Runner, Tally, fuzz

TURNS = 8


def test_fixed_cases_are_read_or_refused_as_documented(tmp_path: Path) -> None:
    tally = Tally()
    fuzz((*targets.PICTURES * 3, *targets.TARGETS), tally, cases=TURNS, reproducers=tmp_path)
    assert sum(tally.inputs.values()) == TURNS * (3 * len(targets.PICTURES) + len(targets.TARGETS))
    found = [(one.target, one.what, one.case) for one in tally.found.values()]
    assert [one for one in found if not is_known(*one[:2])] == []


@pytest.mark.parametrize("target", targets.TARGETS)
def test_a_case_is_the_same_each_time(target: str) -> None:
    cases = [targets.made(target, case) for case in range(20)]
    if target != "manifest_parquet":  # its writer puts no clock in, but may change with a release
        assert cases == [targets.made(target, case) for case in range(20)]
    assert len({data for data, _ in cases}) > 5


@pytest.mark.parametrize("kind", targets.PICTURES)
def test_what_is_mutated_is_valid_before(kind: str) -> None:
    for data in pictures.valid(kind):
        with Image.open(io.BytesIO(data)) as image:
            image.load()


def test_a_review_sheet_that_is_mutated_has_the_columns_that_are_written(tmp_path: Path) -> None:
    write_review_table(tmp_path / "sheet.csv", [])
    written = (tmp_path / "sheet.csv").read_text().strip().split(",")
    assert list(texts.columns("review_csv")) == written
    assert set(texts.good_row("review_csv", random.Random(0))) == set(written)


def test_chunks_that_are_not_mutated_give_the_file_back() -> None:
    data = pictures.valid("png")[0]
    chunks = pictures.png_chunks(data)
    assert [name for name, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    segments, rest = pictures.jpeg_segments(pictures.valid("jpeg")[1])
    assert sum(marker == b"\xff\xda" for marker, _ in segments) > 3  # progressive: many scans
    assert rest[:2] == b"\xff\xd9"


def test_an_exception_a_crash_and_much_memory_are_findings(tmp_path: Path) -> None:
    runner = Runner(tally := Tally(), tmp_path, faulty.read)
    try:
        assert runner.run("gif", 1).startswith("ZeroDivisionError at ")
        assert runner.run("bmp", 1) == f"the process ended with {-signal.SIGABRT}"
        assert runner.run("webp", 1) == "more than 400 MB of memory"
        assert runner.run("avif", 1) == "a tensor of no shape"
        assert runner.run("jpeg", 1) == ""
    finally:
        runner.close()
    assert len(tally.found) == len(list(tmp_path.iterdir())) == 4
    assert sum(tally.inputs.values()) == 5


def test_a_hang_is_a_finding() -> None:
    runner = Runner(Tally(), None, faulty.read, hang_seconds=0.5)
    try:
        assert runner.run("tiff", 1) == "no answer within 0.5 s"
    finally:
        runner.close()
