"""Relabelling through the queue: workers say what they would, the catalogue waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.redis_server import RedisServer
from tests.worker.crawls import write_crawl
from tests.worker.queues import Queue

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

OLD, NEW = "shoes/female/sandals", "glasses/optical"


def said(url: str, table: str) -> list[str | None]:
    """The labels in a table, by plain SQL."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(sa.text(f"SELECT label FROM {table}")).scalars())
    engine.dispose()
    return found


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A queue on SQLite whose workers have the new model."""
    server = RedisServer(tmp_path / "redis").start()
    made = Queue(tmp_path, server, f"sqlite:///{tmp_path / 'catalogue.db'}")
    made.environ["FASHION_CASCADE_MODEL"] = f"constant:{NEW}"
    yield made
    made.close()
    server.kill()


def test_workers_relabel_beside_the_catalogue(queue: Queue) -> None:
    write_crawl(queue.pictures, 40)
    queue.run("label", queue.pictures, "--crawl", "spring", "--model", f"constant:{OLD}")
    queue.run("relabel", "--all", "--queue")
    assert said(queue.catalogue_url, "relabels") == [None] * 40
    queue.start_worker()
    queue.wait(lambda: said(queue.catalogue_url, "relabels") == [NEW] * 40, "relabelled rows")
    assert said(queue.catalogue_url, "catalogue") == [OLD] * 40
    queue.run("relabel", "--all")
    assert said(queue.catalogue_url, "catalogue") == [NEW] * 40
    assert said(queue.catalogue_url, "label_history") == [OLD] * 40
