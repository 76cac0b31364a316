"""Messages that the broker lost are published again."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.writes import locks
from tests.redis_server import RedisServer
from tests.worker.crawls import write_crawl
from tests.worker.queues import Queue
from worker.queue.healing import publish_lost, untouched_seconds
from worker.settings import Settings

pytestmark = pytest.mark.servers


def test_lost_messages_are_published_once(
    tmp_path: Path, broker: RedisServer, catalogue_url: str
) -> None:
    url = catalogue_url
    queue = Queue(tmp_path, broker, url)
    write_crawl(queue.pictures, 4)
    queue.run("enqueue", queue.pictures, "--crawl", "spring")
    settings = Settings(catalogue_url=url, broker_url=broker.url)
    assert publish_lost(settings, 0.0) == 0  # the messages are there
    with broker.client() as client:
        client.flushdb()
    assert publish_lost(settings) == 0  # too early
    assert untouched_seconds(settings) >= 2 * settings.visibility_timeout
    assert publish_lost(settings, 0.0) == 0  # somebody looked just now
    engine = Catalogue.open(url).engine
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM locks")
    engine.dispose()
    assert publish_lost(settings, 0.0) == 4
    assert sum(len(paths) for _, paths in broker.shards()) == 4
    assert publish_lost(settings, 0.0) == 0


def test_a_lock_has_one_holder_until_it_ends(catalogue: Catalogue) -> None:
    engine = catalogue.engine
    assert locks.take(engine, "a", "one", 300)
    assert not locks.take(engine, "a", "two", 300)
    assert locks.take(engine, "b", "two", 0)
    assert locks.take(engine, "b", "one", 300)  # the other's time was over
