"""kill -9 of a worker that relabels: the catalogue is unchanged, another worker continues."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.worker.crawls import write_crawl
from tests.worker.queue.test_relabel_queue import NEW, OLD, said
from tests.worker.queues import Queue

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
PICTURES = 60


@pytest.fixture
def queue(tmp_path: Path, catalogue_url: str) -> Iterator[Queue]:
    """A queue on either database whose workers have the new model."""
    server = RedisServer(tmp_path / "redis").start()
    made = Queue(tmp_path, server, catalogue_url)
    made.environ["FASHION_CASCADE_MODEL"] = f"constant:{NEW}"
    yield made
    made.close()
    server.kill()


def test_a_worker_killed_in_a_relabelling_is_taken_over(queue: Queue) -> None:
    write_crawl(queue.pictures, PICTURES)
    queue.run("label", queue.pictures, "--crawl", "spring", "--model", f"constant:{OLD}")
    queue.run("relabel", "--all", "--queue")
    worker = queue.start_worker("first", SLOW="0.2")
    queue.wait(lambda: NEW in said(queue.catalogue_url, "relabels"), "relabelled rows")
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(60)
    standing = said(queue.catalogue_url, "relabels")
    assert len(standing) == PICTURES
    assert None in standing
    assert said(queue.catalogue_url, "catalogue") == [OLD] * PICTURES
    queue.start_worker("second")
    queue.wait(lambda: None not in said(queue.catalogue_url, "relabels"), "all relabelled")
    queue.run("relabel", "--all")
    assert said(queue.catalogue_url, "catalogue") == [NEW] * PICTURES
    assert said(queue.catalogue_url, "label_history") == [OLD] * PICTURES
    queue.run("db", "check")
