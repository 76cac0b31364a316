"""Databases that stop, fill up, or are written by many at once."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.queries import Filter, count
from db.records import FileState, Outcome
from tests.redis_server import RedisServer
from tests.servers import postgres_server, start_postgres
from tests.worker.crawls import write_crawl
from tests.worker.queues import Queue

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

COUNT = 96
WRITERS, SHARDS, PATHS = 6, 10, 20


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


def test_postgresql_stopped_in_the_middle(tmp_path: Path, broker: RedisServer) -> None:
    with postgres_server() as server:
        queue = Queue(tmp_path, broker, server.new_url())
        try:
            paths = write_crawl(queue.pictures, COUNT)
            queue.run("enqueue", queue.pictures, "--crawl", "spring")
            queue.start_worker(SLOW="0.05")
            queue.wait_for_some()
            server.stop()
            queue.wait(lambda: "shard put off" in queue.logs(), "the worker to notice")
            server.process = start_postgres(server.folder, server.binaries).process
            queue.wait_for_the_end()
            queue.check({str(path): "labelled" for path in paths})
        finally:
            queue.close()


def test_a_full_disk_under_sqlite_puts_the_work_off(tmp_path: Path, broker: RedisServer) -> None:
    """A full disk is a file system of its own size here, or where that may not be, a page limit."""
    queue = Queue(tmp_path, broker, f"sqlite:///{tmp_path / 'catalogue.db'}")
    try:
        paths = write_crawl(queue.pictures, COUNT)
        queue.run("enqueue", queue.pictures, "--crawl", "spring")
        full = queue.start_worker(MAX_PAGES="1")
        queue.wait(lambda: "full" in queue.logs(), "the worker to notice")
        assert queue.statuses()["labelled"] < COUNT
        assert len(queue.rows()) == COUNT
        queue.stop(full)
        queue.start_worker("after")
        queue.wait_for_the_end()
        queue.check({str(path): "labelled" for path in paths})
    finally:
        queue.close()


def write_shards(url: str, number: int, start: object) -> None:
    """One writer: claims and finishes its shards, as a worker does."""
    catalogue = Catalogue.open(url, create=False)
    start.wait()  # type: ignore[attr-defined]
    for shard in range(SHARDS):
        files = [FileState(f"/{number}/{shard}/{path}.jpg", 1, 1.0) for path in range(PATHS)]
        claim = catalogue.claim("spring", files, f"writer {number}", 60.0, "m")
        outcomes = [
            Outcome(file.path, "rejected", 1, 1.0, None, reason="empty") for file in claim.todo
        ]
        assert catalogue.store("spring", f"writer {number}", "m", outcomes) == PATHS
    catalogue.close()


def test_six_writers_on_one_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    catalogue = Catalogue.open(url)
    catalogue.register_model("m", [])
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(WRITERS)
    writers = [
        context.Process(target=write_shards, args=(url, number, start)) for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(240)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert count(catalogue.engine, Filter()) == WRITERS * SHARDS * PATHS
    catalogue.close()
    with sqlite3.connect(tmp_path / "catalogue.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
