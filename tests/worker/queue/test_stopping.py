"""How a worker starts without a broker, stops, and ends when it hangs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.records import FileState
from tests.commands.running import run
from tests.redis_server import RedisServer, free_port
from tests.worker.crawls import write_crawl
from tests.worker.queues import SECONDS, Queue
from worker.decode import Decoder
from worker.queue.stopping import Watchdog

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(SECONDS)]


@pytest.fixture
def queue(tmp_path: Path, broker: RedisServer) -> Iterator[Queue]:
    """A queue over SQLite with a model that needs no networks."""
    made = Queue(tmp_path, broker, f"sqlite:///{tmp_path / 'catalogue.db'}")
    made.environ |= {"FASHION_CASCADE_SHARD_SIZE": "8", "FASHION_CASCADE_POOL_SIZE": "1"}
    yield made
    made.close()


def test_a_stop_ends_when_nothing_is_active(queue: Queue) -> None:
    """Long before the waiting time, which the test's own limit would not survive."""
    write_crawl(queue.pictures, 24)
    queue.run("enqueue", queue.pictures, "--crawl", "spring")
    worker = queue.start_worker(
        SLOW="0.2", FASHION_CASCADE_SOFT_SHUTDOWN_SECONDS="3000", FASHION_CASCADE_DECODE_THREADS="1"
    )
    queue.wait_for_some()
    queue.stop(worker)  # waits for 60 s
    assert worker.returncode == 0
    assert queue.statuses()["labelled"] in (8, 16)  # whole shards
    assert queue.leases() == 0


def test_ctrl_c_of_an_idle_worker_is_130_and_says_nothing(queue: Queue) -> None:
    queue.run("db", "upgrade")
    worker = queue.start_worker()
    queue.wait(lambda: " ready." in queue.logs(), "a worker that is ready")
    before = len(queue.logs())
    queue.stop(worker, signal.SIGINT)
    assert worker.returncode == 130
    assert "Traceback" not in queue.logs()
    assert "hutdown" not in queue.logs()[before:]


def test_a_worker_without_a_broker_ends_with_3_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setattr("commands.queue.worker.BROKER_SECONDS", 0.1)
    catalogue = f"sqlite:///{tmp_path / 'catalogue.db'}"
    run("db", "upgrade", "--catalogue", catalogue)
    options = [
        "--roots",
        "/",
        "--broker",
        gone,
        "--catalogue",
        catalogue,
        "--model",
        "constant:glasses/optical",
    ]
    said = run("worker", *options, exit_code=3).stderr
    assert said.count("\n") == 1
    assert gone in said


def test_the_watchdog_counts_only_its_own_ticks_and_only_silence() -> None:
    ended = threading.Event()
    dog = Watchdog(3.0, ended.set)
    assert not any(dog.tick(1.0) for _ in range(3))
    dog.turned()
    assert [dog.tick(1.0) for _ in range(4)] == [False, False, False, True]
    dog.run()
    assert ended.is_set()


def test_a_second_model_leaves_the_first_ones_decoder_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with ``-P threads``, where shards of two models are in work at once."""
    from db.catalogue import Catalogue
    from worker.model_loader import ModelCache, open_model
    from worker.queue.lifecycle import Resources
    from worker.settings import Settings

    catalogue = Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}")
    held = Resources(Settings(batch_size=8), catalogue, ModelCache("default", ""), "owner")
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    files = [FileState(str(tmp_path / "a.jpg"))] * 40
    first: Decoder = held.decoder(open_model("constant:glasses/optical"))
    loading = first(files, ())
    next(loading)
    second = held.decoder(open_model("constant:glasses/sunglasses"))
    assert second is not first
    assert len(list(loading)) == 39
    assert len(list(first(files, ()))) == 40
    held.close_decoders()
    catalogue.close()
