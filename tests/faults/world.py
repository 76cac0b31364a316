"""Servers, proxies, pictures and supervised workers of one schedule, and how to look at them."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from tests.faults.proxy import Proxy
from tests.redis_server import RedisServer
from tests.servers import PostgresServer
from tests.worker.crawls import Crawl

ROOT = Path(__file__).parents[2]
CRAWL = "spring"
SHARD = 8  # pictures
SLOW_SECONDS = 0.08  # that a picture takes, so that faults strike in the middle of the work
PATIENCE_SECONDS = float(os.environ.get("CAMPAIGN_PATIENCE", "120"))
COMMAND_SECONDS = 60.0
# a worker that was never ready may refuse to start with these, as documented, while a fault lasts
REFUSES_TO_START = (3, 4)
RESTART_SECONDS = 1.0  # as a supervisor waits


@dataclass
class Life:
    """One process of a worker, from its start to its end."""

    process: subprocess.Popen[bytes]
    log: Path
    told_to_end: bool = False  # by a fault: its end is no surprise


@dataclass
class Worker:
    """A worker that is started again when it ends, as a supervisor does."""

    name: str
    lives: list[Life] = field(default_factory=list)
    start_at: float = 0.0

    @property
    def life(self) -> Life:
        return self.lives[-1]


class World:
    """Everything that one schedule runs in. `violations` gathers what must not happen."""

    def __init__(
        self, folder: Path, postgres: PostgresServer, model: str, undisturbed: Crawl, processes: int
    ) -> None:
        self.folder, self.postgres, self.undisturbed = folder, postgres, undisturbed
        self.pictures = folder / "pictures"
        self.violations: list[str] = []
        self.remedies: list[str] = []
        self.workers: list[Worker] = []
        self.messages: list[tuple[str, bytes]] = []  # (list, message) as they were published
        self.last_refusal = ""  # what the last command that failed said
        self.expected: dict[str, str] = {}  # path -> label
        self.corrected: dict[str, str] = {}
        self.forgotten: set[str] = set()
        self.clock = folder / "clock"
        self.broker = RedisServer(folder / "redis").start()
        self.catalogue_url = postgres.new_url()
        self.database = sa.make_url(self.catalogue_url).database
        socket = Path(sa.make_url(self.catalogue_url).query["host"]) / ".s.PGSQL.5432"
        self.broker_proxy = Proxy(("127.0.0.1", self.broker.port))
        self.database_proxy = Proxy(socket)
        options = {"options": "-c statement_timeout=2000 -c default_transaction_read_only=off"}
        self.engine = sa.create_engine(
            self.catalogue_url, poolclass=sa.NullPool, connect_args=options
        )
        self.environ = {name: v for name, v in os.environ.items() if "FASHION" not in name} | {
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "CLOCK_IN": str(self.clock),
            "SLOW": str(SLOW_SECONDS),
            "FASHION_CASCADE_BROKER_URL": self.broker.url,
            "FASHION_CASCADE_CATALOGUE_URL": self.catalogue_url,
            "FASHION_CASCADE_MODEL": model,
            "FASHION_CASCADE_ROOTS": str(self.pictures),
            "FASHION_CASCADE_SHARD_SIZE": str(SHARD),
            "FASHION_CASCADE_BATCH_SIZE": str(SHARD // 2),
            "FASHION_CASCADE_POOL_SIZE": str(processes),
            "FASHION_CASCADE_DECODE_THREADS": "1",
            "FASHION_CASCADE_VISIBILITY_TIMEOUT": "12",
            "FASHION_CASCADE_SHARD_TIME_LIMIT": "6",
            "FASHION_CASCADE_LEASE_SECONDS": "5",
            "FASHION_CASCADE_HEAL_SECONDS": "10",
            "FASHION_CASCADE_SOFT_SHUTDOWN_SECONDS": "10",
            "FASHION_CASCADE_DEVICE": "cpu",
        }
        self.for_workers = self.environ | {
            "FASHION_CASCADE_BROKER_URL": f"redis://127.0.0.1:{self.broker_proxy.port}/0",
            "FASHION_CASCADE_CATALOGUE_URL": (
                f"postgresql+psycopg://postgres@127.0.0.1:{self.database_proxy.port}/"
                f"{self.database}?sslmode=disable"
            ),
        }

    # ---- commands

    def run(self, *arguments: object, codes: tuple[int, ...] = (0,)) -> str | None:
        """``fashion-cascade ARGUMENTS``; its stdout, or None where it ended with another code.

        Commands go past the proxies. One with a traceback, or with a code that the documentation
        does not have for a server in trouble, is a violation.
        """
        words = [sys.executable, "-m", "cli", *map(str, arguments)]
        try:
            done = subprocess.run(
                words,
                cwd=self.folder,
                env=self.environ,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.last_refusal = f"{arguments[0]} took more than {COMMAND_SECONDS:.0f} s"
            return None
        if done.returncode in codes:
            return done.stdout
        self.last_refusal = f"{arguments[0]} ended with {done.returncode}: {done.stderr[-300:]}"
        if "Traceback" in done.stderr or done.returncode not in REFUSES_TO_START:
            last = done.stderr.strip().splitlines()[-1:]
            self.violate(f"command {arguments[0]} ended with {done.returncode}: {last}")
        return None

    def violate(self, what: str) -> None:
        if what not in self.violations:
            self.violations.append(what)

    # ---- pictures and messages

    def fill(self, count: int) -> None:
        """Enqueue `count` pictures, and keep a copy of their messages."""
        self.expected = self.undisturbed.copy(self.pictures, count)
        self.clock.write_text("0")
        assert self.run("db", "upgrade") is not None
        assert self.run("enqueue", self.pictures, "--crawl", CRAWL) is not None
        with self.broker.client() as client:
            for key in sorted(client.keys("fashion-cascade*")):
                self.messages += [(key, raw) for raw in client.lrange(key, 0, -1)]
        assert self.messages

    def publish_again(self, messages: list[tuple[str, bytes]]) -> bool:
        """Publish copies of messages; whether the broker took them."""
        import redis

        try:
            with self.broker.client() as client:
                for key, raw in messages:
                    message: dict[str, Any] = json.loads(raw)
                    message["properties"]["delivery_tag"] = str(uuid.uuid4())
                    client.lpush(key, json.dumps(message))
        except redis.exceptions.RedisError:
            return False
        return True

    def undisturbed_paths(self) -> list[str]:
        """The paths that were enqueued in the beginning, forgotten ones too."""
        return [*self.expected, *self.forgotten]

    # ---- plain SQL

    def ask(self, query: str, **values: object) -> list[Any] | None:
        """The rows of a question by plain SQL; None while the database is in trouble."""
        try:
            with self.engine.connect() as connection:
                return list(connection.execute(sa.text(query), values).all())
        except sa.exc.OperationalError:
            return None

    def finished(self) -> int | None:
        """How many rows are labelled, or have failed for good."""
        query = "SELECT count(*) FROM catalogue WHERE status NOT IN ('pending', 'cancelled')"
        found = self.ask(query)
        return None if found is None else int(found[0][0])

    def own_version(self) -> str | None:
        """The version of the model that the workers label with, once it is known."""
        query = "SELECT version FROM model_versions WHERE version NOT LIKE 'constant%'"
        found = self.ask(query)
        return str(found[0][0]) if found else None

    def is_done(self) -> bool:
        """No row pending or leased, no message waiting or taken."""
        query = "SELECT count(*) FROM catalogue WHERE status = 'pending' OR claimed_by IS NOT NULL"
        found = self.ask(query)
        return found is not None and found[0][0] == 0 and self.messages_left() == (0, 0)

    def messages_left(self) -> tuple[int, int] | None:
        """(waiting, taken) on the broker."""
        import redis

        try:
            with self.broker.client() as client:
                waiting = sum(
                    int(client.llen(key))
                    for key in client.keys("fashion-cascade*")
                    if client.type(key) == b"list" and b"dead" not in key
                )
                return waiting, int(client.hlen("unacked"))
        except redis.exceptions.RedisError:
            return None

    # ---- workers

    def start_worker(self, name: str) -> None:
        worker = Worker(name)
        self.workers.append(worker)
        self._start(worker)

    def _start(self, worker: Worker) -> None:
        log = self.folder / f"{worker.name}-{len(worker.lives)}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.start", "worker", "--name", worker.name],
                cwd=self.folder,
                env=self.for_workers,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        worker.lives.append(Life(process, log))

    def supervise(self) -> None:
        """Start again what ended; one that ended by itself, having been ready, is a violation."""
        for worker in self.workers:
            life = worker.life
            if life.process.poll() is None:
                continue
            if worker.start_at == 0.0:
                self._judge_the_end(worker)
                worker.start_at = time.monotonic() + (0.0 if life.told_to_end else RESTART_SECONDS)
            if time.monotonic() >= worker.start_at:
                kill_group(life.process)  # orphans of its pool, as a container's end would
                worker.start_at = 0.0
                self._start(worker)

    def _judge_the_end(self, worker: Worker) -> None:
        life, code = worker.life, worker.life.process.returncode
        text = life.log.read_text(errors="replace")
        if life.told_to_end or (code in REFUSES_TO_START and " ready." not in text):
            return
        lines = [line for line in text.splitlines() if line.strip()]
        self.violate(f"worker ended by itself with {code}: {last_error(lines)}")

    def children(self, worker: Worker) -> list[psutil.Process]:
        """The processes of a worker's pool; its helper that counts semaphores is none."""
        try:
            found = psutil.Process(worker.life.process.pid).children()
            return [
                one for one in found if "billiard.semaphore_tracker" not in " ".join(one.cmdline())
            ]
        except psutil.Error:
            return []

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
        """Supervise until `condition`; False when nothing was finished for so many seconds."""
        progress, since = self.finished(), time.monotonic()
        while not condition():
            self.supervise()
            time.sleep(0.05)
            now = self.finished()
            if now is not None and now != progress:
                progress, since = now, time.monotonic()
            if time.monotonic() - since > seconds:
                return False
        return True

    def hold(self, seconds: float) -> None:
        """Let a fault last."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.supervise()
            time.sleep(0.05)

    def stop_workers(self) -> None:
        """SIGTERM to all; one that does not end in time, or badly, is a violation."""
        for worker in self.workers:
            worker.life.told_to_end = True
            worker.life.process.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                code = worker.life.process.wait(40)
            except subprocess.TimeoutExpired:
                self.violate("a worker did not stop on SIGTERM within 40 s")
            else:
                ready = " ready." in worker.life.log.read_text(errors="replace")
                if code != 0 and ready:
                    self.violate(f"a worker that was told to stop ended with {code}")

    def close(self) -> None:
        """End all that was started here."""
        for worker in self.workers:
            for life in worker.lives:
                kill_group(life.process)
        for proxy in (self.broker_proxy, self.database_proxy):
            proxy.close()
        self.broker.kill()
        self.engine.dispose()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process that leads a group, and to its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def last_error(lines: list[str]) -> str:
    """The last line of a log that tells of an error, or the last line."""
    told = [line for line in lines if re.search(r"error|unrecoverable|refused", line, re.I)]
    return (told or lines or [""])[-1][:200]


def message_paths(raw: bytes) -> list[str]:
    """The paths in a message."""
    return list(json.loads(base64.b64decode(json.loads(raw)["body"]))[1]["paths"])
