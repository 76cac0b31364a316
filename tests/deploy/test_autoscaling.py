"""KEDA's query on a real PostgreSQL, and a controller that scales real workers by it.

KEDA itself is not run: `Controller` does what its autoscaler does, without the pauses.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from ruamel.yaml import YAML

from tests.redis_server import RedisServer
from tests.servers import PostgresServer
from tests.worker.crawls import write_crawl
from tests.worker.queues import Queue

MANIFEST = Path(__file__).parents[2] / "deploy" / "keda" / "scaledobject.yaml"
MOST = 2  # workers: each start loads two cores


def objects() -> dict[str, Any]:
    """The manifest's objects by their kind."""
    return {one["kind"]: one for one in YAML(typ="safe").load_all(MANIFEST)}


def trigger() -> dict[str, Any]:
    (only,) = objects()["ScaledObject"]["spec"]["triggers"]
    return dict(only)


def test_the_manifest_fits_together() -> None:
    found = objects()
    spec = found["ScaledObject"]["spec"]
    name = found["TriggerAuthentication"]["metadata"]["name"]
    assert trigger()["authenticationRef"]["name"] == name
    # KEDA takes `fallback` for averages only, and wants figures of metadata as text
    assert spec["fallback"]["replicas"] >= 1
    assert trigger()["metricType"] == "AverageValue"
    assert all(isinstance(value, str) for value in trigger()["metadata"].values())
    assert spec["minReplicaCount"] == 0 < spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
    assert spec["cooldownPeriod"] > spec["pollingInterval"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
def queue(tmp_path: Path, broker: RedisServer, postgres: PostgresServer) -> Iterator[Queue]:
    """A queue over a PostgreSQL catalogue with tables; the network is a constant."""
    made = Queue(tmp_path, broker, postgres.new_url())
    made.pictures.mkdir()
    made.run("db", "upgrade")
    yield made
    made.close()


class Controller:
    """Asks the manifest's query as a role that may only read, and starts or stops workers."""

    def __init__(self, queue: Queue, target: int) -> None:
        self.queue, self.target = queue, target
        self.running: list[subprocess.Popen[bytes]] = []
        self.counts = [0]  # of workers, each time that it changed
        self.started = 0
        url = sa.make_url(queue.catalogue_url)
        options = {"host": url.query["host"], "dbname": url.database}
        role = f"keda_{url.database}"
        with psycopg.connect(user="postgres", **options) as connection:
            connection.execute(f"CREATE ROLE {role} LOGIN")
            connection.execute(f"GRANT SELECT ON catalogue_summary, relabels TO {role}")
        self.connection = psycopg.connect(user=role, autocommit=True, **options)

    def pending(self) -> int:
        ((value,),) = self.connection.execute(trigger()["metadata"]["query"]).fetchall()
        assert isinstance(value, int)
        return value

    def turn(self) -> bool:
        """Look once, scale, and say whether there are no workers and nothing is pending."""
        pending = self.pending()
        wanted = min(math.ceil(pending / self.target), MOST)
        while len(self.running) < wanted:
            self.started += 1
            name = f"pod-{self.started}"
            self.running.append(self.queue.start_worker(name, FASHION_CASCADE_POOL_SIZE="1"))
        ending = self.running[wanted:]
        del self.running[wanted:]
        for worker in ending:  # together, as Kubernetes does, and then wait for all
            worker.terminate()
        for worker in ending:
            worker.wait(60)
        if self.counts[-1] != wanted:
            self.counts.append(wanted)
        return pending == 0


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.parametrize("pictures", [600, pytest.param(6000, marks=pytest.mark.heavy)])
def test_two_crawls_scale_up_and_to_zero_and_lose_nothing(queue: Queue, pictures: int) -> None:
    controller = Controller(queue, target=pictures // 4)
    assert controller.turn()  # an empty catalogue starts nobody
    expected = set()
    for number, crawl in enumerate(["spring", "autumn"]):
        folder = queue.pictures / crawl
        expected |= {str(path) for path in write_crawl(folder, pictures, number * pictures)}
        queue.run("enqueue", folder, "--crawl", crawl)
        assert controller.pending() == pictures
        queue.wait(controller.turn, "no workers and nothing pending")
        assert controller.running == []
    # up to the most, and step by step or at once to none, for each crawl
    assert controller.counts[0] == controller.counts[-1] == 0
    assert controller.counts.count(0) == 3
    assert controller.counts.count(MOST) >= 2
    rows = queue.rows()
    assert len(rows) == len(expected)
    assert {path for path, *_ in rows} == expected
    assert {status for _, status, *_ in rows} == {"labelled"}
    assert queue.is_empty()
    controller.connection.close()


@pytest.mark.servers
def test_rows_of_a_model_on_trial_count_too(queue: Queue) -> None:
    write_crawl(queue.pictures, 2)
    queue.run("enqueue", queue.pictures, "--crawl", "spring")
    controller = Controller(queue, target=1)
    engine = sa.create_engine(queue.catalogue_url)
    with engine.begin() as connection:
        columns = "path_key, path, crawl, status, created_at, updated_at"
        connection.execute(
            sa.text(f"INSERT INTO relabels ({columns}) SELECT {columns} FROM catalogue")
        )
        connection.execute(sa.text("UPDATE catalogue SET status = 'cancelled'"))
    engine.dispose()
    assert controller.pending() == 2
    controller.connection.close()
