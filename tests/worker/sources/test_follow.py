"""A folder that a crawler is still filling."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.programs import program
from tests.servers import wait_until
from tests.worker.crawls import write_crawl
from worker.sources.follow import follow


def test_present_and_later_files_are_yielded(tmp_path: Path) -> None:
    crawl, stop = tmp_path / "crawl", threading.Event()
    before = write_crawl(crawl, 3)
    found: dict[str, int | None] = {}

    def read() -> None:
        for row in follow(str(crawl), stop):
            found[row.path] = row.size

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_until(lambda: len(found) == 3, "the files that were there")
        after = write_crawl(crawl / "later", 2, first=10)
        (crawl / "notes.txt").touch()
        (crawl / ".part").touch()
        wait_until(lambda: len(found) >= 5, "the files that came")
        before[0].write_bytes(b"changed")
        wait_until(lambda: found[str(before[0])] == 7, "the file that changed")
    finally:
        stop.set()
        reader.join(30)
    assert not reader.is_alive()
    assert set(found) == {str(path) for path in [*before, *after]}


FOLLOW = """
import sys, threading
from worker.sources.follow import follow
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
for row in follow(sys.argv[1], stop):
    print(row.path, row.size, flush=True)
"""
# a limit of its own in a namespace of its own: that of the machine stays
FEW_WATCHES = 'echo 1 > /proc/sys/user/max_inotify_watches && exec "$@"'


def test_folder_is_polled_where_the_system_allows_no_more_watches(tmp_path: Path) -> None:
    inside = [str(program("unshare")), "--user", "--map-root-user", "sh", "-c", FEW_WATCHES, "sh"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make user namespaces")
    crawl = tmp_path / "crawl"
    before = [path for name in "abc" for path in write_crawl(crawl / name, 1, first=ord(name))]
    with (tmp_path / "found").open("wb") as found, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*inside, sys.executable, "-c", FOLLOW, str(crawl)],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=found,
            stderr=log,
        )

    def lines() -> set[str]:
        return {line.split()[0] for line in (tmp_path / "found").read_text().splitlines()}

    try:
        wait_until(lambda: len(lines()) == 3, "the files that were there")
        wait_until(lambda: "instead" in (tmp_path / "log").read_text(), "the line about polling")
        after = write_crawl(crawl / "a", 2, first=10) + write_crawl(crawl / "later", 2, first=20)
        wait_until(lambda: len(lines()) == 7, "the files that came")
        before[0].write_bytes(b"changed")
        changed = f"{before[0]} 7"
        wait_until(lambda: changed in (tmp_path / "found").read_text(), "the file that changed")
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
    assert lines() == {str(path) for path in [*before, *after]}
    assert (tmp_path / "log").read_text().count("\n") == 1
