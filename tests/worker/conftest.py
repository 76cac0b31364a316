"""A crawl that was labelled undisturbed once, and queues to label it again, disturbed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.servers import PostgresServer
from tests.worker.crawls import Crawl
from tests.worker.queues import MODEL, PICTURES, Queue


@pytest.fixture(scope="session")
def fault_model(request: pytest.FixtureRequest) -> str:
    """A real bundle: a small one, or the one that FAULT_MODEL names."""
    return MODEL or str(request.getfixturevalue("quick_bundle"))


@pytest.fixture(scope="session")
def crawl(fault_model: str, tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    """Drawings of every leaf, with the labels of `label`: one process, SQLite, no queue."""
    from cascade.drawings import LEAVES, write_sample_crawl

    folder = tmp_path_factory.mktemp("undisturbed")
    queue = Queue(folder, RedisServer(folder), f"sqlite:///{folder / 'catalogue.db'}", fault_model)
    per_leaf = math.ceil(PICTURES / len(LEAVES))
    paths = sorted(write_sample_crawl(queue.pictures, per_leaf, 5, junk=False))
    for path in paths[PICTURES:]:
        path.unlink()
    out = queue.run("label", queue.pictures, "--format", "jsonl")
    labels = {Path(row["path"]).name: row["label"] for row in map(json.loads, out.splitlines())}
    assert sorted(labels) == [path.name for path in paths[:PICTURES]]
    assert len(set(labels.values())) > 3  # else equal labels would say nothing
    return Crawl(queue.pictures, labels)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    """A broker that keeps its data over a restart."""
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
def queue(
    tmp_path: Path, broker: RedisServer, postgres: PostgresServer, fault_model: str
) -> Iterator[Queue]:
    """A queue over an empty PostgreSQL catalogue, with a real bundle."""
    made = Queue(tmp_path, broker, postgres.new_url(), fault_model)
    yield made
    made.close()
