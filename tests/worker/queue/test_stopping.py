"""How a worker starts without a broker, stops, and ends when it hangs."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency import asynpool, prefork
from kombu.asynchronous import Hub

from db.records import FileState
from tests.commands.running import run
from tests.redis_server import RedisServer, free_port
from tests.worker.crawls import write_crawl
from tests.worker.queues import SECONDS, Queue
from worker.decode import Decoder
from worker.queue import stopping
from worker.queue.stopping import Watchdog
from worker.settings import Settings

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


class _Pool:
    """As much of a prefork pool as its results need: one pipe, read by Celery's own handler."""

    def __init__(self, hub: Hub, file: int, results: list[object]) -> None:
        self._fileno_to_outq = {file: object()}
        handler = asynpool.ResultHandler.__new__(asynpool.ResultHandler)
        handler.fileno_to_outq, handler.on_state_change = self._fileno_to_outq, results.append
        handler.register_with_event_loop(hub)
        self.handler = handler
        hub.add_reader(file, handler.handle_event, file)


def _message(value: object) -> bytes:
    body = pickle.dumps(value)
    return struct.pack(">i", len(body)) + body


@pytest.mark.parametrize("place", [2, 4, 9])
def test_a_result_of_which_half_has_come_is_read_on(place: int) -> None:
    """The loop may have the first bytes when the signal comes, and so may the waiting itself."""
    hub, results = Hub(), list[object]()
    file, writer = os.pipe()
    os.set_blocking(file, False)
    pool, message = _Pool(hub, file, results), _message("a" * 50)
    os.write(writer, message[:place])
    stopping._collect_results(pool, hub)
    assert not results
    os.write(writer, message[place:])
    stopping._collect_results(pool, hub)
    os.write(writer, _message("b"))
    stopping._collect_results(pool, hub)
    assert results == ["a" * 50, "b"]
    for each in (file, writer):
        os.close(each)
    hub.close()


def test_a_stop_waits_until_the_main_thread_has_the_result_that_it_is_at() -> None:
    """The signal comes while a result is read: the handler would wait for that very result."""
    hub, results, found = Hub(), list[object](), list[list[object]]()
    file, writer = os.pipe()
    os.set_blocking(file, False)
    (read, *_) = asynpool.ResultHandler._recv_message.__defaults__

    def interrupted(*arguments: Any) -> Any:
        done = read(*arguments)
        signal.raise_signal(signal.SIGUSR1)
        return done

    def on_signal(*_: object) -> None:
        stopping._collect_results(pool, hub)
        found.append(list(results))

    pool = _Pool(hub, file, results)
    before = signal.signal(signal.SIGUSR1, stopping.BetweenResults(on_signal))
    try:
        os.write(writer, _message("a") + _message("b"))
        recv = pool.handler._recv_message
        for _ in recv(hub.add_reader, file, results.append, __read__=interrupted):
            raise AssertionError("the whole message was there")
        assert (results, found) == (["a"], [])
        stopping.BetweenResults.call_waiting()
        assert found[0] == ["a", "b"]
        signal.raise_signal(signal.SIGUSR1)
        assert len(found) == len(stopping.BetweenResults.waiting) + 3  # two while it was read
    finally:
        signal.signal(signal.SIGUSR1, before)
        for each in (file, writer):
            os.close(each)
        hub.close()


def test_a_pool_that_has_ended_still_knows_its_size() -> None:
    """Celery asks when the connection is lost in the middle of a stop."""
    before = prefork.TaskPool.num_processes
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)}
    pool = prefork.TaskPool(limit=3)
    with pytest.raises(AttributeError):
        before.fget(pool)  # of Celery
    try:
        stopping.install(SimpleNamespace(pool=pool), Settings(), lambda: None)
        assert pool.num_processes == 3
    finally:
        prefork.TaskPool.num_processes = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
