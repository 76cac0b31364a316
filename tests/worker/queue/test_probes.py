"""The probes of a real worker: stopped processes, a broker that is killed, networks that load."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, free_port
from tests.servers import PostgresServer, postgres_server, start_postgres
from tests.worker.queues import SECONDS, Queue
from worker.probes.state import PROBES, State

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(SECONDS)]
SILENCE = 10  # seconds; a main without a broker turns every one to two


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    """A server that nobody else uses."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def queue(tmp_path: Path, broker: RedisServer, database: PostgresServer) -> Iterator[Queue]:
    """A queue with the shipped bundle; its workers keep their state in its folder."""
    made = Queue(tmp_path, broker, database.new_url(), "default")
    (tmp_path / "temporary").mkdir()
    made.environ |= {
        "TMPDIR": str(tmp_path / "temporary"),
        "FASHION_CASCADE_POOL_SIZE": "1",
        "FASHION_CASCADE_METRICS_PORT": str(free_port()),
    }
    made.run("db", "upgrade")
    yield made
    made.close()


def says(queue: Queue, question: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "probe", question, "--silence", str(SILENCE)],
        cwd=queue.folder,
        env=queue.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    answer = (done.returncode, done.stdout, done.stderr.count("\n"))
    assert answer in ((0, f"{question}\n", 0), (1, "", 1)), done.stderr
    return done.returncode == 0


def over_http(queue: Queue, path: str) -> int:
    port = queue.environ["FASHION_CASCADE_METRICS_PORT"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def wait_for(queue: Queue, question: str, answer: bool) -> None:
    """Poll in this process, which costs less than a command, and ask the command then."""

    def answers() -> bool:
        found = list((queue.folder / "temporary").glob("fashion-cascade-*-worker@*"))
        return bool(found) and (not PROBES[question](State(found[0], SILENCE))) is answer

    queue.wait(answers, f"{question}: {answer}")
    assert says(queue, question) is answer


def test_stopped_processes_and_servers_that_are_away(
    queue: Queue, broker: RedisServer, database: PostgresServer
) -> None:
    for question in ("live", "startup", "ready"):
        assert not says(queue, question)  # no worker
    worker = queue.start_worker()
    queue.wait(lambda: len(queue.children(worker)) == 1, "a process of the pool")
    (child,) = queue.children(worker)
    child.send_signal(signal.SIGSTOP)  # long before it has its networks
    wait_for(queue, "live", True)
    assert not says(queue, "startup")
    child.send_signal(signal.SIGCONT)
    wait_for(queue, "startup", True)
    wait_for(queue, "ready", True)
    assert [over_http(queue, path) for path in ("/livez", "/readyz", "/startupz")] == [200] * 3

    child.send_signal(signal.SIGSTOP)
    wait_for(queue, "live", False)
    child.send_signal(signal.SIGCONT)
    wait_for(queue, "live", True)

    broker.kill()
    wait_for(queue, "ready", False)
    assert says(queue, "live") and says(queue, "startup")
    assert (over_http(queue, "/livez"), over_http(queue, "/readyz")) == (200, 503)
    broker.start()
    wait_for(queue, "ready", True)

    database.stop()
    wait_for(queue, "ready", False)
    assert says(queue, "live")
    database.process = start_postgres(database.folder, database.binaries).process
    wait_for(queue, "ready", True)

    child.kill()
    (folder,) = (queue.folder / "temporary").glob("fashion-cascade-*-worker@*")
    assert folder.stat().st_mode & 0o777 == 0o700
    queue.wait(lambda: not (folder / f"pool-{child.pid}").exists(), "no file of the dead process")
    wait_for(queue, "startup", True)
    port = queue.environ["FASHION_CASCADE_METRICS_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert b"fashion_cascade_process_deaths_total 1.0" in answer.read()

    worker.send_signal(signal.SIGSTOP)
    wait_for(queue, "live", False)
    worker.send_signal(signal.SIGCONT)
    queue.stop(worker)
    assert not says(queue, "live")
