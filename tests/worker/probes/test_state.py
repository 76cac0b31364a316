"""The verdicts of the probes from state files alone; tests of the queue have a real worker."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from worker.probes.state import State, StateFiles, is_private, state_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The state of a worker that is ready: two processes, the second still loads."""
    folder = tmp_path / "state"
    files = StateFiles(folder)
    files.clear()
    files.touch("main", f"processes\n8 {time.time()}\n9 {time.time()}")
    files.touch("pool-8", "network")
    files.touch("reach")
    return folder


def make_old(file: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(file, (then, then))


def verdicts(folder: Path, silence: float = 60) -> tuple[bool, bool, bool]:
    state = State(folder, silence)
    return not state.live(), not state.startup(), not state.ready()


def test_a_worker_that_touches_its_files_is_ready(folder: Path) -> None:
    assert verdicts(folder) == (True, True, True)


@pytest.mark.parametrize("name", ["main", "pool-8"])
def test_a_silent_process_is_not_live(folder: Path, name: str) -> None:
    make_old(folder / name, 50)
    assert verdicts(folder) == (True, True, True)
    assert verdicts(folder, 40) == (False, False, False)
    assert "silent for 50 s (allowed: 40 s)" in State(folder, 40).live()


@pytest.mark.parametrize(
    "text", ["", "no such text", "8 1.0", "processes\n8", "processes\nx 1.0", "processes\n8 x"]
)
def test_a_main_that_says_nothing_is_not_live(folder: Path, text: str) -> None:
    (folder / "main").write_text(text)
    assert verdicts(folder) == (False, False, False)


def test_no_folder_a_file_in_its_place_or_one_that_others_may_enter_is_not_live(
    folder: Path, tmp_path: Path
) -> None:
    assert "no worker of this user" in State(tmp_path / "nowhere").live()
    (tmp_path / "file").touch()
    assert State(tmp_path / "file").live()
    folder.chmod(0o750)
    assert verdicts(folder) == (False, False, False)
    link = tmp_path / "link"
    folder.chmod(0o700)
    link.symlink_to(folder)
    assert State(link).live()


def test_nothing_is_written_where_others_may_enter(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    files = StateFiles(shared)
    files.clear()
    files.touch("main", "{}")
    assert not is_private(shared)
    assert not list(shared.iterdir())


def test_a_process_has_five_minutes_to_load(folder: Path) -> None:
    (folder / "main").write_text(f"processes\n9 {time.time() - 290}")
    assert verdicts(folder) == (True, False, False)
    (folder / "main").write_text(f"processes\n9 {time.time() - 310}")
    assert "process 9 of the pool has not written" in State(folder).live()


def test_a_pool_of_threads_has_started_with_its_main(folder: Path) -> None:
    (folder / "main").write_text("threads")
    assert verdicts(folder) == (True, True, True)
    (folder / "main").write_text("processes")
    assert verdicts(folder) == (True, False, False)


def test_what_does_not_answer_or_nobody_looked_at_makes_it_unready(folder: Path) -> None:
    (folder / "reach").write_text("the broker does not answer\nnor the catalogue")
    assert State(folder).ready() == "the broker does not answer; nor the catalogue"
    assert verdicts(folder) == (True, True, False)
    make_old(folder / "reach", 100)
    assert "the look at broker and catalogue is silent" in State(folder).ready()
    (folder / "reach").unlink()
    assert verdicts(folder) == (True, True, False)


def test_an_earlier_life_leaves_nothing(folder: Path) -> None:
    StateFiles(folder).clear()
    assert not list(folder.iterdir())
    assert verdicts(folder) == (False, False, False)


def test_a_full_disk_hinders_no_touch(folder: Path) -> None:
    """A touch whose text is the same writes nothing: the file stays the same one."""
    files = StateFiles(folder)
    files.touch("main", "text")
    number = (folder / "main").stat().st_ino
    make_old(folder / "main", 100)
    files.touch("main", "text")
    status = (folder / "main").stat()
    assert status.st_ino == number
    assert time.time() - status.st_mtime < 50
    (folder / "main").unlink()  # somebody cleans up
    files.touch("main", "text")
    assert (folder / "main").read_text() == "text"


def test_a_name_leads_to_no_other_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("../../etc", "a/b", "ü\n@host", "."):
        assert state_folder(name).parent == tmp_path
    assert state_folder("a@b") != state_folder("c@b")
