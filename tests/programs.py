"""Programs that the tests use and pip does not install, found by path.

Without such a program its tests skip. Where `REQUIRE_ALL` is 1, as in CI, they fail instead: a
check that silently stopped running would be worse than none. ``tests/conftest.py`` renames the
variable, since the commands that the tests run would report a setting that they do not know.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

REQUIRE_ALL = "FASHION_CASCADE_TESTS_REQUIRE_ALL"
REQUIRE_ALL_HERE = "TESTS_REQUIRE_ALL"  # its name in the processes of the tests
# Debian puts servers where only root's PATH looks
FOLDERS = ("/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin")


def find_program(names: Iterable[str], folders: Iterable[str | Path] = FOLDERS) -> Path | None:
    """The first program of `names` on PATH or in `folders`; None if there is none."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    found = (shutil.which(name, path=path) for name in names)
    return next((Path(program) for program in found if program), None)


def program(name: str, *other_names: str, folders: Iterable[str | Path] = FOLDERS) -> Path:
    """Where a program lies that is called `name` or one of `other_names`.

    Where it is absent, the test is skipped, or fails if `REQUIRE_ALL` is 1.
    """
    found = find_program((name, *other_names), folders)
    if found is not None:
        return found
    absent = f"this test needs {name}: install it (Debian: apt-get install {name})"
    if os.environ.get(REQUIRE_ALL_HERE) == "1":
        pytest.fail(f"{absent}; {REQUIRE_ALL}=1 allows no test to skip", pytrace=False)
    pytest.skip(absent)


def hide_require_all() -> None:
    """Rename the variable for this process and those that it starts."""
    if (value := os.environ.pop(REQUIRE_ALL, None)) is not None:
        os.environ[REQUIRE_ALL_HERE] = value


def chromium() -> Path:
    """Where Chromium or Chrome lies."""
    return program("chromium", "chromium-browser", "google-chrome", "chrome")


def promtool() -> Path:
    """Where Prometheus's promtool lies."""
    return program("promtool")


def pgbouncer() -> Path:
    """Where pgbouncer lies."""
    return program("pgbouncer")
