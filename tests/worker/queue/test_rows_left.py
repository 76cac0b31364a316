"""Rows of a message that are gone, and files that cannot be read for now, through a real worker."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.worker.crawls import picture, write_crawl
from tests.worker.queues import SECONDS, Queue

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(SECONDS)]

# a regular file that opens and then fails with EIO: no memory is mapped at its beginning
FAILING = "/proc/self/mem"


@pytest.fixture
def queue(tmp_path: Path, broker: RedisServer) -> Iterator[Queue]:
    """A queue over SQLite with a model that needs no networks."""
    made = Queue(tmp_path, broker, f"sqlite:///{tmp_path / 'catalogue.db'}")
    made.environ |= {"FASHION_CASCADE_SHARD_SIZE": "8", "FASHION_CASCADE_POOL_SIZE": "1"}
    yield made
    made.close()


def test_rows_that_are_gone_stay_gone_and_their_message_ends(queue: Queue) -> None:
    """Forgotten between enqueue and delivery, one picture of a shard and one whole shard."""
    paths = [str(path) for path in write_crawl(queue.pictures, 16)]
    queue.run("enqueue", queue.pictures, "--crawl", "spring")
    (_, whole), (_, part) = queue.broker.shards()
    for path in (*whole, part[0]):
        queue.run("forget", "--path", path, "--yes")
    queue.start_worker()
    queue.wait_for_the_end()
    assert sorted(path for path, *_ in queue.rows()) == sorted(set(paths) - {*whole, part[0]})
    assert queue.statuses() == {"labelled": 7}
    for number in (8, 1):
        assert f"{number} pictures of spring are not in the catalogue: forgotten" in queue.logs()


@pytest.mark.skipif(not Path(FAILING).exists(), reason="only on Linux")
def test_a_file_that_fails_is_put_off_and_its_shard_comes_back(queue: Queue) -> None:
    queue.environ["FASHION_CASCADE_ROOTS"] = "/"
    paths = write_crawl(queue.pictures, 7)
    failing = queue.pictures / "failing.png"
    failing.symlink_to(FAILING)
    queue.run("enqueue", *paths, failing, "--crawl", "spring")  # single files: no root of their own
    worker = queue.start_worker()
    queue.wait(lambda: queue.statuses()["labelled"] == 7, "the rest of the shard")
    assert queue.statuses() == {"labelled": 7, "pending": 1}

    def seen() -> tuple[list[str], int]:
        """The workers that `status` sees, and the shards that are put off."""
        found = json.loads(queue.run("status", "--format", "jsonl"))["queue"]
        return list(found["workers"]), found["put_off"]

    queue.wait(lambda: seen()[1] == 1, "a shard that is put off")
    workers, _ = seen()
    assert len(workers) == 1
    assert workers[0].startswith("worker@")
    assert queue.leases() == 0
    mended = queue.folder / "mended.png"
    picture(99).save(mended)
    os.replace(mended, failing)  # noqa: PTH105
    put_off = {1}

    def is_mended() -> bool:
        put_off.add(seen()[1])
        return queue.statuses() == {"labelled": 8}

    queue.wait(is_mended, "the file that was mended")
    # its pause of 30 s is longer than the visibility timeout of 20 s: no second copy came meanwhile
    assert max(put_off) == 1
    queue.wait_for_the_end()
    assert worker.poll() is None
    assert "Traceback" not in queue.logs()
