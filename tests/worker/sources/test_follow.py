"""A folder that a crawler is still filling."""

from __future__ import annotations

import threading
from pathlib import Path

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
