"""`celery -A worker.app worker`, as people who know Celery start it; a broker with a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.worker.crawls import write_crawl
from tests.worker.queues import Queue

pytestmark = [pytest.mark.servers, pytest.mark.slow]

PASSWORD = "s3cret-of-the-broker"


def test_the_celery_command_works_and_prints_no_password(tmp_path: Path) -> None:
    broker = RedisServer(tmp_path / "redis", password=PASSWORD).start()
    queue = Queue(tmp_path, broker, f"sqlite:///{tmp_path / 'catalogue.db'}")
    queue.environ |= {"REMAP_SIGTERM": "SIGQUIT", "FASHION_CASCADE_LOG_LEVEL": "DEBUG"}
    try:
        write_crawl(queue.pictures, 10)
        said = queue.run("enqueue", queue.pictures, "--crawl", "spring")
        worker = queue.start("plain", "celery", "-A", "worker.app", "worker", "--loglevel", "DEBUG")
        queue.wait_for_the_end()
        said += queue.run("status") + queue.run("doctor") + queue.run("settings")
        queue.stop(worker)
        assert worker.returncode == 0
        assert queue.statuses() == {"labelled": 10}
        assert "***" in said
        assert PASSWORD not in said + queue.logs()
    finally:
        queue.close()
        broker.kill()
