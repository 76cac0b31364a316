"""The queue in the ordinary case, and each way in which its own parts die, on real servers.

300 pictures, a small real bundle, PostgreSQL; `make test-faults`: 3,000 and the shipped bundle.
Afterwards, each time: every path has exactly one row, with the label that an undisturbed run gives
it, and nothing is left on the broker.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, free_port
from tests.worker.crawls import Crawl
from tests.worker.queues import SECONDS, SHARD, Queue

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(3 * SECONDS)]

ROOT_GONE_SECONDS = 10.0


def scrape(port: int) -> str:
    """What a worker tells Prometheus."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def test_two_workers_label_each_picture_once(queue: Queue, crawl: Crawl) -> None:
    expected = queue.fill(crawl)
    port = free_port()
    one = queue.start_worker("one", FASHION_CASCADE_METRICS_PORT=str(port))
    workers = [one, queue.start_worker("two")]
    queue.wait_for_the_end()
    metrics = scrape(port)
    assert "fashion_cascade_queue_length" not in metrics  # of all workers: the exporter has it
    assert 'fashion_cascade_shards_total{result="done"}' in metrics
    queue.check(expected)
    # the pictures are distinct, so each that was labelled was inferred; each was so once
    assert sum(labelled for _, labelled in queue.shards_done()) == len(expected)
    shards = len(queue.shards_done())
    assert f"longest of the last {shards} shards took" in queue.run("doctor")
    for worker in workers:
        queue.stop(worker)
        assert worker.returncode == 0


def test_a_child_that_is_killed_costs_nothing(queue: Queue, crawl: Crawl) -> None:
    expected = queue.fill(crawl)
    worker = queue.start_worker(SLOW="0.03")
    queue.wait_for_some()
    for child in queue.children(worker):
        child.kill()
    assert queue.statuses()["pending"] > 0
    queue.wait_for_the_end()
    queue.check(expected)


def test_a_worker_that_is_killed_is_taken_over(
    queue: Queue, crawl: Crawl, broker: RedisServer
) -> None:
    timeout = 10
    queue.environ |= {
        "FASHION_CASCADE_VISIBILITY_TIMEOUT": str(timeout),
        "FASHION_CASCADE_SHARD_TIME_LIMIT": str(timeout // 2),
    }
    expected = queue.fill(crawl)
    worker = queue.start_worker("one", SLOW="0.03")
    queue.wait_for_some()
    children = queue.children(worker)
    worker.kill()
    worker.wait(30)
    for child in children:
        queue.wait(lambda child=child: not child.is_running(), "the orphan to end")  # type: ignore[misc]
    assert queue.statuses()["pending"] > 0

    def given_up() -> bool:
        """Whether the message that the dead worker held is old enough to be given to another."""
        with broker.client() as client:
            held = client.zrange("unacked_index", 0, -1, withscores=True)
        return all(taken < time.time() - timeout for _, taken in held)

    queue.wait(given_up, "the dead worker's message to come back")
    queue.start_worker("two")
    queue.wait_for_the_end()
    queue.check(expected)


def test_sigterm_finishes_the_shard_and_releases_the_rest(queue: Queue, crawl: Crawl) -> None:
    expected = queue.fill(crawl)
    worker = queue.start_worker("one", SLOW="0.03")
    queue.wait_for_some()
    queue.stop(worker)
    assert worker.returncode == 0
    labelled = queue.statuses()["labelled"]
    assert 0 < labelled < len(expected)
    assert labelled % SHARD == 0  # the current shard was finished
    assert queue.leases() == 0
    queue.start_worker("two")
    queue.wait_for_the_end()
    queue.check(expected)


def test_a_soft_shutdown_that_is_too_short_releases_the_leases(queue: Queue, crawl: Crawl) -> None:
    expected = queue.fill(crawl, 3 * SHARD)
    worker = queue.start_worker("one", SLOW="0.3", FASHION_CASCADE_SOFT_SHUTDOWN_SECONDS="1")
    queue.wait_for_some()
    queue.stop(worker)
    assert queue.statuses()["pending"] > 0
    assert queue.leases() == 0
    queue.start_worker("two")
    queue.wait_for_the_end()
    queue.check(expected)


def test_redis_that_restarts_with_its_data(queue: Queue, crawl: Crawl, broker: RedisServer) -> None:
    expected = queue.fill(crawl)
    queue.start_worker(SLOW="0.03")
    queue.wait_for_some()
    broker.kill()
    broker.start()
    assert queue.statuses()["pending"] > 0
    queue.wait_for_the_end()
    queue.check(expected)


def test_requeue_repairs_a_redis_that_lost_its_data(
    queue: Queue, crawl: Crawl, broker: RedisServer
) -> None:
    expected = queue.fill(crawl)
    queue.start_worker(SLOW="0.03")
    queue.wait_for_some()
    broker.kill()
    shutil.rmtree(broker.folder)
    broker.folder.mkdir()
    broker.start()
    queue.wait(lambda: queue.leases() == 0, "the current shard to be finished")
    left = queue.statuses()["pending"]
    assert left > 0
    assert f"spring: {left} pictures requeued" in queue.run("requeue", "--stale", "0s", "--lost")
    queue.wait_for_the_end()
    queue.check(expected)


def send_twice(broker: RedisServer) -> None:
    """Put each waiting message on the queue once more, beside itself."""
    with broker.client() as client:
        for key in client.keys("fashion-cascade*"):
            messages = client.lrange(key, 0, -1)
            client.delete(key)
            client.rpush(key, *(message for message in messages for _ in range(2)))


def test_a_message_delivered_twice_is_labelled_once(
    queue: Queue, crawl: Crawl, broker: RedisServer
) -> None:
    expected = queue.fill(crawl)
    send_twice(broker)
    # one process: two of them would find each other's shard busy, and come back for it
    queue.start_worker(FASHION_CASCADE_POOL_SIZE="1")
    queue.wait_for_the_end()
    queue.check(expected)
    done = queue.shards_done()
    assert set(Counter(shard for shard, _ in done).values()) == {2}
    assert sum(labelled for _, labelled in done) == len(expected)


def test_two_workers_get_the_same_shard_at_once(
    queue: Queue, crawl: Crawl, broker: RedisServer
) -> None:
    queue.run("db", "upgrade")
    # one process each, so that both copies of a shard cannot go to one of them
    settings = {"SLOW": "0.02", "FASHION_CASCADE_POOL_SIZE": "1"}
    workers = [queue.start_worker(name, **settings) for name in ("one", "two")]
    for name in ("one", "two"):
        queue.wait(lambda n=name: " ready." in queue.log(n).read_text(), "a worker that is ready")  # type: ignore[misc]
    expected = queue.fill(crawl)
    send_twice(broker)
    queue.wait_for_the_end()
    queue.check(expected)
    assert sum(labelled for _, labelled in queue.shards_done()) == len(expected)
    for worker in workers:
        queue.stop(worker)
    logs = [queue.log(name).read_text() for name in ("one", "two")]
    shards = {shard for shard, _ in queue.shards_done()}
    assert any(all(f"shard {shard} of" in log for log in logs) for shard in shards)


def test_pictures_that_go_away_for_a_while_are_not_rejected_as_missing(
    queue: Queue, crawl: Crawl
) -> None:
    expected = queue.fill(crawl)
    queue.start_worker(SLOW="0.03")
    queue.wait_for_some()
    queue.pictures.rename(queue.folder / "elsewhere")
    gone = threading.Timer(ROOT_GONE_SECONDS, (queue.folder / "elsewhere").rename, [queue.pictures])
    gone.start()
    queue.wait(lambda: "gone or empty" in queue.logs(), "the worker to notice")
    gone.join()
    assert queue.statuses()["pending"] > 0
    queue.wait_for_the_end()
    queue.check(expected)


@pytest.mark.parametrize("poisons", [1, 5])
def test_poison_is_quarantined_and_its_neighbours_are_labelled(
    queue: Queue, crawl: Crawl, broker: RedisServer, poisons: int
) -> None:
    expected = queue.fill(crawl)
    _, paths = broker.shards()[1]
    poisoned = [Path(path) for path in paths[5 : 5 + poisons]]
    for path in poisoned:
        path.unlink()  # it is linked to the undisturbed crawl
        path.write_bytes(b"POISON")
    worker = queue.start_worker()
    queue.wait_for_the_end()
    queue.check(expected, quarantined=[str(path) for path in poisoned])
    assert worker.poll() is None  # the worker itself lives
    # one death in its shard and two alone: what poison costs is bounded, whatever it is beside
    listed = queue.run("quarantine", "list", "--format", "jsonl").splitlines()
    assert len(listed) == poisons
    assert all('"attempts": 3' in line for line in listed)
    queue.stop(worker, signal.SIGTERM)
