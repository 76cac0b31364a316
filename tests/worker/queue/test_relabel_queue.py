"""Relabelling through the queue: workers say what they would, the catalogue waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.redis_server import RedisServer
from tests.worker.crawls import write_crawl
from tests.worker.queues import Queue
from worker.model_loader import open_model

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

OLD, NEW = "shoes/female/sandals", "glasses/optical"


def said(url: str, table: str) -> list[str | None]:
    """The model's labels in a table, by plain SQL."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(sa.text(f"SELECT model_label FROM {table}")).scalars())
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


def test_old_and_new_models_run_side_by_side(queue: Queue, small_bundle: Path) -> None:
    """The worker's own model labels new pictures while it relabels others with a bundle that it
    brings from the store, an object store as far as it knows."""
    old = f"constant:{OLD}"
    queue.environ |= {
        "FASHION_CASCADE_MODEL": old,
        "FASHION_CASCADE_MODEL_STORE": f"local://{queue.folder / 'store'}",
        "XDG_CACHE_HOME": str(queue.folder / "cache"),
    }
    write_crawl(queue.pictures / "before", 12)
    queue.run("label", queue.pictures / "before", "--crawl", "spring")
    queue.run("relabel", "--all", "--queue", "--model", small_bundle)
    write_crawl(queue.pictures / "new", 12)
    queue.run("enqueue", queue.pictures / "new", "--crawl", "summer")
    queue.start_worker()
    queue.wait(lambda: None not in said(queue.catalogue_url, "relabels"), "relabelled rows")
    queue.wait_for_the_end()
    assert said(queue.catalogue_url, "catalogue") == [OLD] * 24
    queue.run("relabel", "--crawl", "spring", "--model", small_bundle)
    version = open_model(str(small_bundle)).version
    engine = sa.create_engine(queue.catalogue_url)
    with engine.connect() as connection:
        query = "SELECT crawl, model_version = :new, count(*) FROM catalogue GROUP BY 1, 2"
        found = connection.execute(sa.text(query), {"new": version}).all()
    engine.dispose()
    assert sorted(map(tuple, found)) == [("spring", 1, 12), ("summer", 0, 12)]
