"""A user without an entry in the password database (OpenShift), without a home, or with one that is
read-only."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.worker.crawls import MODEL_NAME, write_crawl
from worker.configuration.user_folders import user_cache_folder, user_settings_folder

ROOT = Path(__file__).parents[2]
NOBODY = 54321
PLACES = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "LOGNAME", "USER", "LNAME", "USERNAME")


def as_nobody() -> list[str]:
    """What starts a program as a user without a name, who can read what root can."""
    setpriv = shutil.which("setpriv")
    if os.getuid() != 0 or setpriv is None:
        pytest.skip("needs root and setpriv")
    user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    # the interpreter may stand in root's home
    return [setpriv, *user, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


def call(
    prefix: list[str], words: tuple[str, ...], folder: Path, more: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name not in PLACES}
    return subprocess.run(
        [*prefix, sys.executable, str(ROOT / "cli.py"), *words],
        cwd=folder,
        env=environ | {"FASHION_CASCADE_MODEL": MODEL_NAME, "PYTHONDONTWRITEBYTECODE": "1"} | more,
        capture_output=True,
        text=True,
        check=False,
    )


def open_to_all(tmp_path: Path) -> Path:
    """A folder with pictures that any user may write into."""
    tmp_path.chmod(0o777)
    write_crawl(tmp_path / "spring", 2)
    return tmp_path


@pytest.mark.parametrize("home", [{}, {"HOME": "/proc"}], ids=["no home", "read-only"])
def test_a_user_without_a_name_works(tmp_path: Path, home: dict[str, str]) -> None:
    folder, prefix = open_to_all(tmp_path), as_nobody()
    for words, code in (
        (("settings",), 0),
        (("label", "spring"), 0),
        (("stats",), 0),
        (("review", "sheet", "sheet.html"), 0),
        (("review", "apply", "sheet.csv"), 0),
        (("status", "--no-queue"), 0),
        (("forget", "--crawl", "spring", "--yes"), 0),
        (("worker",), 2),  # it has no roots
    ):
        done = call(prefix, words, folder, home)
        assert "Traceback" not in done.stderr
        assert done.returncode == code, done.stderr
    assert (folder / "catalogue.db").stat().st_uid == NOBODY


def test_a_user_with_a_name_and_without_a_home_works(tmp_path: Path) -> None:
    for home in ({}, {"HOME": "/proc"}, {"HOME": "/absent"}, {"HOME": ""}):
        assert call([], ("settings",), tmp_path, home).returncode == 0


def test_caches_go_to_a_private_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    folder = user_cache_folder()
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert user_cache_folder() == folder
    folder.chmod(0o777)  # another user may have made it
    assert user_cache_folder() != folder
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert user_cache_folder() == tmp_path / "cache" / "fashion-cascade"


def test_there_are_no_settings_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)

    def no_entry(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", no_entry)
    assert user_settings_folder() is None
