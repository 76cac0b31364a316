"""The whole queue behind a real pgbouncer in transaction mode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pgbouncer import pooler, through
from tests.redis_server import RedisServer
from tests.servers import PostgresServer
from tests.worker.crawls import Crawl
from tests.worker.queues import SECONDS, Queue

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(3 * SECONDS)]


def test_workers_and_commands_behind_pgbouncer(
    tmp_path: Path, broker: RedisServer, postgres: PostgresServer, crawl: Crawl, fault_model: str
) -> None:
    with pooler(postgres) as query:
        queue = Queue(tmp_path, broker, through(query, postgres.new_url()), fault_model)
        try:
            queue.run("db", "upgrade")
            expected = queue.fill(crawl, 96)
            for name in ("one", "two"):
                queue.start_worker(name)
            queue.wait_for_the_end()
            queue.check(expected)
            assert "Traceback" not in queue.logs()
            assert "retried" not in queue.logs()
            found = queue.run("query", "--crawl", "spring", "--format", "jsonl", "--limit", 1000)
            labels = {row["path"]: row["label"] for row in map(json.loads, found.splitlines())}
            assert labels == expected
            queue.run("export", tmp_path / "spring.parquet", "--crawl", "spring")
            queue.run("vacuum")
        finally:
            queue.close()
