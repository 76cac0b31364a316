"""The queue in the ordinary case, and each failure that it must survive, on real servers.

Afterwards, each time: every path has exactly one row with the status that it must have, and
nothing is left on the broker.
"""

from __future__ import annotations

import shutil
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, free_port
from tests.servers import PostgresServer
from tests.worker.crawls import write_crawl
from tests.worker.queues import MODEL, PICTURES, Queue

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

COUNT = PICTURES


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
def queue(tmp_path: Path, broker: RedisServer) -> Iterator[Queue]:
    """A queue over SQLite; the schema is there."""
    made = Queue(tmp_path, broker, f"sqlite:///{tmp_path / 'catalogue.db'}")
    yield made
    made.close()


@pytest.fixture
def shared(tmp_path: Path, broker: RedisServer, postgres: PostgresServer) -> Iterator[Queue]:
    """A queue over PostgreSQL."""
    made = Queue(tmp_path, broker, postgres.new_url())
    yield made
    made.close()


def fill(queue: Queue, count: int = COUNT) -> dict[str, str]:
    """Enqueue a crawl of `count` pictures; what is to become of each."""
    paths = write_crawl(queue.pictures, count)
    out = queue.run("enqueue", queue.pictures, "--crawl", "spring")
    assert f"{count} looked at, {count} enqueued" in out
    return {str(path): "labelled" for path in paths}


def scrape(port: int) -> str:
    """What a worker tells Prometheus."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def trained(queue: Queue, small_bundle: Path) -> None:
    """Let a real, small bundle label, unless another model was asked for."""
    if MODEL.startswith("constant:"):
        queue.environ["FASHION_CASCADE_MODEL"] = str(small_bundle)


def test_two_workers_share_the_work_and_nothing_is_done_twice(
    shared: Queue, small_bundle: Path
) -> None:
    trained(shared, small_bundle)
    expected = fill(shared)
    port = free_port()
    one = shared.start_worker("one", FASHION_CASCADE_METRICS_PORT=str(port))
    workers = [one, shared.start_worker("two")]
    shared.wait_for_the_end()
    metrics = scrape(port)
    assert "fashion_cascade_queue_length 0.0" in metrics
    assert "fashion_cascade_oldest_pending_seconds 0.0" in metrics
    assert 'fashion_cascade_shards_total{result="done"}' in metrics
    shared.check(expected)
    lines = [line for line in shared.logs().splitlines() if "shard " in line and "labelled" in line]
    assert sum(int(line.split(" labelled")[0].split()[-1]) for line in lines) == COUNT
    shared.check_labels()
    for worker in workers:
        shared.stop(worker)
        assert worker.returncode == 0


def test_a_child_that_is_killed_costs_nothing(queue: Queue, small_bundle: Path) -> None:
    trained(queue, small_bundle)
    expected = fill(queue)
    worker = queue.start_worker(SLOW="0.03")
    queue.wait_for_some()
    for child in queue.children(worker):
        child.kill()
    queue.wait_for_the_end()
    queue.check(expected)
    queue.check_labels()


def test_a_worker_that_is_killed_is_taken_over(queue: Queue) -> None:
    expected = fill(queue)
    worker = queue.start_worker("one", SLOW="0.03")
    queue.wait_for_some()
    children = queue.children(worker)
    worker.kill()
    worker.wait(30)
    for child in children:
        queue.wait(lambda child=child: not child.is_running(), "the orphan to end")  # type: ignore[misc]
    assert queue.statuses()["pending"] > 0
    queue.start_worker("two")
    queue.wait_for_the_end()
    queue.check(expected)


def test_sigterm_finishes_what_is_at_hand_and_gives_the_rest_back(queue: Queue) -> None:
    expected = fill(queue)
    worker = queue.start_worker("one", SLOW="0.03")
    queue.wait_for_some()
    queue.stop(worker)
    assert worker.returncode == 0
    left = queue.statuses()["pending"]
    assert 0 < left < COUNT
    queue.start_worker("two")
    queue.wait_for_the_end()
    queue.check(expected)


def test_a_soft_shutdown_that_is_too_short_gives_the_leases_back(queue: Queue) -> None:
    expected = fill(queue, 96)
    worker = queue.start_worker("one", SLOW="0.3", FASHION_CASCADE_SOFT_SHUTDOWN_SECONDS="1")
    queue.wait_for_some()
    queue.stop(worker)
    assert queue.statuses()["pending"] > 0
    assert queue.leases() == 0
    queue.start_worker("two")
    queue.wait_for_the_end()
    queue.check(expected)


def test_redis_that_restarts_with_its_data(queue: Queue, broker: RedisServer) -> None:
    expected = fill(queue)
    queue.start_worker(SLOW="0.03")
    queue.wait_for_some()
    broker.kill()
    broker.start()
    queue.wait_for_the_end()
    queue.check(expected)


def test_redis_that_loses_its_data_is_healed_by_requeue(queue: Queue, broker: RedisServer) -> None:
    expected = fill(queue)
    with broker.client() as client:
        client.flushall()
    queue.start_worker()
    out = queue.run("requeue", "--stale", "0s", "--lost")
    assert f"spring: {COUNT} pictures requeued" in out
    queue.wait_for_the_end()
    queue.check(expected)


def test_a_message_delivered_twice_and_to_two_workers(queue: Queue, broker: RedisServer) -> None:
    expected = fill(queue)
    with broker.client() as client:
        for key in client.keys("fashion-cascade*"):
            for message in client.lrange(key, 0, -1):
                client.lpush(key, message)
    queue.start_worker("one", SLOW="0.02")
    queue.start_worker("two", SLOW="0.02")
    queue.wait_for_the_end()
    queue.check(expected)
    lines = [line for line in queue.logs().splitlines() if "shard " in line and "labelled" in line]
    assert sum(int(line.split(" labelled")[0].split()[-1]) for line in lines) == COUNT


def test_pictures_that_go_away_for_a_while_are_not_called_missing(queue: Queue) -> None:
    expected = fill(queue)
    shutil.move(queue.pictures, queue.folder / "elsewhere")
    queue.start_worker()
    queue.wait(lambda: "gone or empty" in queue.logs(), "the worker to notice")
    shutil.move(queue.folder / "elsewhere", queue.pictures)
    queue.wait_for_the_end()
    queue.check(expected)


@pytest.mark.parametrize("poisons", [1, 5])
def test_poison_is_quarantined_and_its_neighbours_are_labelled(queue: Queue, poisons: int) -> None:
    paths = write_crawl(queue.pictures, 32)
    for path in paths[5 : 5 + poisons]:
        path.write_bytes(b"POISON")
    queue.run("enqueue", queue.pictures, "--crawl", "spring")
    worker = queue.start_worker()
    queue.wait_for_the_end()
    queue.check(
        {
            str(path): "quarantined" if path in paths[5 : 5 + poisons] else "labelled"
            for path in paths
        }
    )
    assert worker.poll() is None  # the worker itself lives
    assert queue.run("quarantine", "list").count("\n") == poisons
    queue.stop(worker, signal.SIGTERM)
