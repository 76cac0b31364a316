"""A program that is absent skips its test, and fails it in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.programs import REQUIRE_ALL, REQUIRE_ALL_HERE, hide_require_all, program

ROOT = Path(__file__).parents[1]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "made-program"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_program_is_found_by_folder_and_by_another_name(made: Path) -> None:
    assert program("made-program", folders=[made.parent]) == made
    assert program("absent-program", "made-program", folders=[made.parent]) == made


def test_program_is_found_on_path(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(made.parent))
    assert program("made-program", folders=[]) == made


def test_file_that_cannot_run_is_no_program(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_ALL_HERE, raising=False)
    made.chmod(0o644)
    with pytest.raises(pytest.skip.Exception, match="needs made-program"):
        program("made-program", folders=[made.parent])


def test_absent_program_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_ALL_HERE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install absent-program"):
        program("absent-program")


def test_absent_program_fails_the_test_where_all_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(REQUIRE_ALL, "1")
    monkeypatch.setenv(REQUIRE_ALL_HERE, "")
    hide_require_all()
    assert REQUIRE_ALL not in os.environ  # the commands would report it
    with pytest.raises(pytest.fail.Exception, match="apt-get install absent-program"):
        program("absent-program")


def test_ci_requires_all_programs() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"export {REQUIRE_ALL}=1" in ci.splitlines()
