"""A complete queue for a test: broker, catalogue, pictures, workers, and ways to inspect it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import psutil
import sqlalchemy as sa

from tests.redis_server import RedisServer
from tests.servers import wait_until
from tests.worker.crawls import MODEL_NAME, Crawl

ROOT = Path(__file__).parents[2]
MODEL = os.environ.get("FAULT_MODEL", "")  # a small bundle; `make test-faults`: the shipped one
PICTURES = int(os.environ.get("FAULT_PICTURES", "300"))
SHARD = 32  # pictures
# how long a test waits for what must come; much longer than it ever takes
SECONDS = 240.0 + PICTURES / 5


class Queue:
    """Settings in the environment of the processes that it starts; they end with `close`."""

    def __init__(
        self, folder: Path, broker: RedisServer, catalogue_url: str, model: str = MODEL_NAME
    ) -> None:
        self.folder, self.broker, self.catalogue_url = folder, broker, catalogue_url
        self.pictures = folder / "pictures"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.python = sys.executable
        self.environ = {name: v for name, v in os.environ.items() if "FASHION" not in name} | {
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "FASHION_CASCADE_BROKER_URL": broker.url,
            "FASHION_CASCADE_CATALOGUE_URL": catalogue_url,
            "FASHION_CASCADE_MODEL": model,
            "FASHION_CASCADE_ROOTS": str(self.pictures),
            "FASHION_CASCADE_SHARD_SIZE": str(SHARD),
            "FASHION_CASCADE_BATCH_SIZE": "8",
            "FASHION_CASCADE_VISIBILITY_TIMEOUT": "20",
            "FASHION_CASCADE_SHARD_TIME_LIMIT": "10",
            "FASHION_CASCADE_LEASE_SECONDS": "5",
            "FASHION_CASCADE_SOFT_SHUTDOWN_SECONDS": "10",
            "FASHION_CASCADE_DEVICE": "cpu",
        }

    def run(self, *arguments: object, code: int = 0) -> str:
        """``fashion-cascade ARGUMENTS`` to its end; what it printed on stdout."""
        done = subprocess.run(
            [self.python, "-m", "cli", *map(str, arguments)],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    def start_worker(self, name: str = "worker", **more: str) -> subprocess.Popen[bytes]:
        """Start a worker in the background; its log is in `log`."""
        return self.start(name, "tests.worker.start", "worker", "--name", name, **more)

    def start(self, name: str, *module: str, **more: str) -> subprocess.Popen[bytes]:
        """Start ``python -m MODULE…`` as a worker; what it prints is in `log`."""
        with self.log(name).open("ab") as log:
            worker = subprocess.Popen(
                [self.python, "-m", *module],
                cwd=self.folder,
                env=self.environ | more,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    def log(self, name: str = "worker") -> Path:
        return self.folder / f"{name}.log"

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))

    def children(self, worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """The processes of a worker's pool; its helper that counts semaphores is none."""
        try:
            found = psutil.Process(worker.pid).children()
            return [
                one for one in found if "billiard.semaphore_tracker" not in " ".join(one.cmdline())
            ]
        except psutil.NoSuchProcess:
            return []

    def leases(self) -> int:
        """The number of leased rows."""
        engine = sa.create_engine(self.catalogue_url)
        try:
            with engine.connect() as connection:
                query = sa.text("SELECT count(*) FROM catalogue WHERE claimed_by IS NOT NULL")
                return int(connection.execute(query).scalar_one())
        finally:
            engine.dispose()

    def rows(self) -> list[tuple[str, str, str | None, str | None]]:
        """(path, status, reason, label), by plain SQL."""
        engine = sa.create_engine(self.catalogue_url)
        try:
            with engine.connect() as connection:
                query = sa.text("SELECT path, status, reason, label FROM catalogue")
                return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]
        finally:
            engine.dispose()

    def statuses(self) -> Counter[str]:
        return Counter(status for _, status, *_ in self.rows())

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        try:
            wait_until(condition, what, SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.statuses()}\n{self.logs()[-8000:]}") from None

    def wait_for_some(self, number: int = 1) -> None:
        """Until at least `number` pictures are labelled."""
        self.wait(lambda: self.statuses()["labelled"] >= number, f"{number} labelled rows")

    def wait_for_the_end(self) -> None:
        """Until nothing is pending and no message is waiting or taken."""
        self.wait(lambda: self.statuses()["pending"] == 0, "no pending rows")
        self.wait(self.is_empty, "an empty queue")

    def is_empty(self) -> bool:
        """Whether no message is waiting or taken."""
        with self.broker.client() as client:
            keys = [key for key in client.keys("fashion-cascade*") if client.llen(key)]
            return not keys and not client.hlen("unacked")

    def fill(self, crawl: Crawl, count: int | None = None) -> dict[str, str]:
        """Enqueue `count` pictures of the crawl, or all; the label that each must get, by path."""
        expected = crawl.copy(self.pictures, count)
        out = self.run("enqueue", self.pictures, "--crawl", "spring")
        assert f"{len(expected)} looked at, {len(expected)} enqueued" in out
        return expected

    def check(self, expected: dict[str, str], quarantined: Collection[str] = ()) -> None:
        """Every path exactly one row, labelled as by a run that nothing disturbed."""
        rows = self.rows()
        assert len(rows) == len(expected)
        wanted = {path: ("labelled", None, label) for path, label in expected.items()}
        wanted |= dict.fromkeys(quarantined, ("quarantined", "worker_died", None))
        assert {path: rest for path, *rest in rows} == {p: list(w) for p, w in wanted.items()}
        (crawl,) = json.loads(self.run("status", "--no-queue", "--format", "jsonl"))["crawls"]
        assert crawl["enqueued"] == len(expected)
        assert crawl["labelled"] == len(expected) - len(quarantined)
        assert crawl["quarantined"] == len(quarantined)

    def shards_done(self) -> list[tuple[str, int]]:
        """(shard, pictures labelled in it) of each time that a worker went through a shard."""
        found = re.findall(r"shard (\w+) of spring: (\d+) labelled", self.logs())
        return [(shard, int(labelled)) for shard, labelled in found]

    def stop(self, worker: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
        if worker.poll() is None:
            worker.send_signal(number)
            worker.wait(60)

    def close(self) -> None:
        """Kill every process that was started here; each worker has its own process group."""
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(30)
