"""With ``log_format`` json every line is JSON, whoever writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.redis_server import RedisServer
from tests.worker.crawls import write_crawl
from tests.worker.queues import SECONDS, Queue

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(SECONDS)]


@pytest.fixture
def queue(tmp_path: Path, broker: RedisServer) -> Iterator[Queue]:
    """A queue over SQLite with a model that needs no networks, and JSON in its logs."""
    made = Queue(tmp_path, broker, f"sqlite:///{tmp_path / 'catalogue.db'}")
    made.environ |= {"FASHION_CASCADE_LOG_FORMAT": "json", "FASHION_CASCADE_POOL_SIZE": "1"}
    yield made
    made.close()


def messages(queue: Queue, name: str = "worker") -> list[str]:
    """The message of each line; a line that is no JSON fails the test."""
    text = queue.log(name).read_text()
    assert all(line.startswith("{") for line in text.splitlines()), text
    return [str(json.loads(line)["message"]) for line in text.splitlines()]


def test_a_worker_whose_process_and_broker_die_and_that_is_stopped_at_work(
    queue: Queue, broker: RedisServer
) -> None:
    write_crawl(queue.pictures, 24)
    queue.run("enqueue", queue.pictures, "--crawl", "spring")
    worker = queue.start_worker(SLOW="0.2", FASHION_CASCADE_DECODE_THREADS="1")
    queue.wait_for_some()
    (child,) = queue.children(worker)
    child.kill()
    queue.wait(lambda: any("SIGKILL" in one for one in messages(queue)), "a line about the death")
    broker.kill()
    queue.wait(lambda: any("Cannot connect" in one for one in messages(queue)), "a lost broker")
    broker.start()
    queue.wait(lambda: sum("Connected to" in one for one in messages(queue)) > 1, "a connection")
    queue.stop(worker)
    said = " ".join(messages(queue))
    assert "hutdown" in said
    assert "-----" not in said  # Celery's banner


@pytest.mark.parametrize("module", [("cli", "worker"), ("celery", "-A", "worker.app", "worker")])
def test_a_worker_that_cannot_start_says_so_in_json(queue: Queue, module: tuple[str, ...]) -> None:
    worker = queue.start("refused", *module, FASHION_CASCADE_MODEL="constant:no/such/label")
    assert worker.wait(SECONDS) != 0
    assert any("no/such" in one for one in messages(queue, "refused"))


def test_a_main_process_that_is_killed_leaves_no_text(queue: Queue) -> None:
    """billiard's process outlives it, and would warn of semaphores that nobody gave back."""
    write_crawl(queue.pictures, 4)
    queue.run("enqueue", queue.pictures, "--crawl", "spring")
    worker = queue.start_worker()
    queue.wait_for_the_end()
    family = psutil.Process(worker.pid).children(recursive=True)
    assert any("billiard.semaphore_tracker" in " ".join(one.cmdline()) for one in family)
    worker.kill()
    _, alive = psutil.wait_procs(family, SECONDS)
    assert not alive
    assert messages(queue)
