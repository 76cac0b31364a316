"""Databases that stop, fill up, or are written by many at once."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from db.catalogue import Catalogue
from db.queries import Filter, count
from db.records import FileState, Outcome
from tests.redis_server import RedisServer
from tests.servers import DURABLE, PostgresServer, postgres_server, start_postgres
from tests.worker.crawls import Crawl
from tests.worker.queues import SECONDS, Queue

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(3 * SECONDS)]

POSTGRESQL_STOPPED_SECONDS = 20.0
ROOM_PAGES = 8  # of 4 KiB, on the disk that fills up: for some pictures, not for all
WRITERS, SHARDS, PATHS = 6, 10, 20


@pytest.fixture
def durable() -> Iterator[PostgresServer]:
    """A server of its own, whose answered commits outlive a stop."""
    with postgres_server(DURABLE) as server:
        yield server


@pytest.fixture
def durable_queue(
    tmp_path: Path, broker: RedisServer, durable: PostgresServer, fault_model: str
) -> Iterator[Queue]:
    made = Queue(tmp_path, broker, durable.new_url(), fault_model)
    yield made
    made.close()


def test_postgresql_stopped_in_the_middle(
    durable_queue: Queue, crawl: Crawl, durable: PostgresServer
) -> None:
    queue, postgres = durable_queue, durable
    expected = queue.fill(crawl)
    queue.start_worker(SLOW="0.03")
    queue.wait_for_some()
    stopped = time.monotonic()
    postgres.stop()
    try:
        queue.wait(lambda: "shard will be retried" in queue.logs(), "the worker to notice")
        time.sleep(max(0.0, stopped + POSTGRESQL_STOPPED_SECONDS - time.monotonic()))
    finally:
        postgres.process = start_postgres(postgres.folder, postgres.binaries, DURABLE).process
    assert queue.statuses()["pending"] > 0
    queue.wait_for_the_end()
    queue.check(expected)


def test_postgresql_that_turns_read_only_is_waited_for_in_one_line_a_shard(
    queue: Queue, crawl: Crawl
) -> None:
    """As a failover does: sessions end, and the server behind the URL is a standby for a while."""
    expected = queue.fill(crawl, 96)
    queue.start_worker(SLOW="0.03")
    queue.wait_for_some()
    set_read_only(queue.catalogue_url, "on")
    queue.wait(lambda: "read-only transaction" in queue.logs(), "the worker to notice")
    set_read_only(queue.catalogue_url, "off")
    queue.wait_for_the_end()
    queue.check(expected)
    assert "name the primary" in queue.logs()
    assert "Traceback" not in queue.logs()


def set_read_only(url: str, value: str) -> None:
    """For all sessions: those that exist are ended."""
    found = make_url(url)
    host, database = str(found.query["host"]), found.database
    with psycopg.connect(host=host, user="postgres", autocommit=True) as connection:
        setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        connection.execute(setting.format(sql.Identifier(str(database)), sql.Literal(value)))
        ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
        connection.execute(ended, (database,))


def test_a_full_disk_under_sqlite_makes_shards_retry(
    tmp_path: Path, broker: RedisServer, crawl: Crawl, fault_model: str
) -> None:
    """The worker that met the full disk continues when there is space again."""
    file, limit = tmp_path / "catalogue.db", tmp_path / "pages"
    queue = Queue(tmp_path, broker, f"sqlite:///{file}", fault_model)
    try:
        expected = queue.fill(crawl)
        with sqlite3.connect(file) as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.close()
        limit.write_text(str(pages + ROOM_PAGES))
        worker = queue.start_worker(MAX_PAGES_IN=str(limit))
        queue.wait(lambda: "full" in queue.logs(), "the worker to notice")
        assert queue.statuses()["labelled"] < len(expected)
        assert len(queue.rows()) == len(expected)
        limit.write_text(str(1 << 30))
        queue.wait_for_the_end()
        queue.check(expected)
        assert worker.poll() is None
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
