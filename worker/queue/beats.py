"""The touches of a worker's processes, from which `fashion-cascade probe` answers.

Main touches its file where its loop turns. A process of the pool does so from a thread: it is in
one call for the whole of a shard, and `shard_time_limit` ends a shard that takes too long. So a
process is silent when it is stopped or when something holds the interpreter. A further thread of
main looks whether broker and catalogue answer.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.worker import state
from celery.worker.consumer import consumer as consumer_module

from db import ledger
from db.catalogue import Catalogue
from db.errors import CatalogueError
from worker.errors import WorkerError
from worker.probes.state import MAIN, NETWORK, POOL, REACH, StateFiles, main_text, state_folder
from worker.queue import broker, metrics
from worker.settings import Settings

if TYPE_CHECKING:
    import redis

FOLDER = "WORKER_STATE_FOLDER"  # from main to the processes of its pool
SECONDS = 1.0  # between touches
LOOK_SECONDS = 5.0


class MainBeat:
    """The file of the main process, with the processes of its pool."""

    def __init__(self, folder: Path) -> None:
        self._files, self._touched, self._pool = StateFiles(folder), 0.0, None
        self._seen: dict[int, float] = {}
        self._files.clear()

    def watch(self, pool: Any) -> None:
        """From now on, say which processes `pool`, a pool of Celery, has."""
        self._pool = getattr(pool, "_pool", None)

    def turned(self) -> None:
        """The main loop has turned."""
        now = time.monotonic()
        if now - self._touched >= SECONDS:
            self._touched = now
            self._files.touch(MAIN, main_text(self._numbers()))

    def _numbers(self) -> dict[int, float] | None:
        processes = getattr(self._pool, "_pool", None)
        if not isinstance(processes, list):  # a pool of threads
            return None if self._pool is not None else {}
        numbers = [process.pid for process in list(processes) if process.pid]
        gone_now = self._seen.keys() - set(numbers)
        if gone_now:
            metrics.record_deaths(len(gone_now))
        for gone in gone_now:
            del self._seen[gone]
            self._files.remove(f"{POOL}{gone}")
        for number in numbers:
            self._seen.setdefault(number, round(time.time(), 1))
        return self._seen

    def end(self) -> None:
        """The worker ends: it neither lives nor is ready."""
        for name in (MAIN, REACH):
            self._files.remove(name)


class ProcessBeat:
    """The file of one process of the pool."""

    def __init__(self, folder: Path) -> None:
        self._files, self._text = StateFiles(folder), ""
        self._name = f"{POOL}{os.getpid()}"

    def start(self) -> None:
        """Touch the file from a thread, as long as the process lives."""
        self._touch()
        threading.Thread(target=self._run, daemon=True, name="beat").start()

    def has_network(self) -> None:
        """The networks are loaded."""
        self._text = NETWORK
        self._touch()

    def _touch(self) -> None:
        self._files.touch(self._name, self._text)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(SECONDS):
            self._touch()


def start_main(name: str) -> MainBeat:
    """Begin the files of the worker called `name`, and touch main's at each turn of its loop.

    Celery calls `maybe_shutdown` at every turn, and every second while it tries to connect.
    """
    os.environ[FOLDER] = str(state_folder(name))
    beat, check = MainBeat(folder()), state.maybe_shutdown
    beat.turned()
    atexit.register(beat.end)  # Celery sends no signal at the end of each kind of stop

    def maybe_shutdown() -> None:
        beat.turned()
        check()

    state.maybe_shutdown = consumer_module.maybe_shutdown = maybe_shutdown
    return beat


def folder() -> Path:
    """The folder of the state of this process's worker, which its main process named."""
    return Path(os.environ[FOLDER])


def start_process() -> ProcessBeat:
    """Begin the file of this process of the pool."""
    beat = ProcessBeat(folder())
    beat.start()
    return beat


class Reach:
    """Looks whether the broker and the catalogue answer, over one connection to each."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._catalogue: Catalogue | None = None
        self._client: redis.Redis | None = None

    def troubles(self) -> list[str]:
        """A line for each of the two that does not answer."""
        found = []
        for look in (self._look_at_broker, self._look_at_catalogue):
            try:
                look()
            except (WorkerError, CatalogueError) as error:
                found.append(" ".join(str(error).split()))
        return found

    def _look_at_broker(self) -> None:
        if self._client is None:
            with broker.connect(self._settings) as client:
                self._client = client
        with broker.broker_errors(self._settings):
            self._client.ping()

    def _look_at_catalogue(self) -> None:
        if self._catalogue is None:
            self._catalogue = Catalogue.open(self._settings.catalogue_url, create=False)
        ledger.crawl_names(self._catalogue.engine)


def start_looking(settings: Settings) -> None:
    """Look every few seconds, from a thread of main, as long as the process lives."""
    threading.Thread(target=_look, args=(settings,), daemon=True, name="reach").start()


def _look(settings: Settings) -> None:
    files, reach, pause = StateFiles(folder()), Reach(settings), threading.Event()
    while True:
        files.touch(REACH, "\n".join(reach.troubles()))
        pause.wait(LOOK_SECONDS)
