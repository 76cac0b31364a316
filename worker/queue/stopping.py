"""How a worker's main process ends: a short stop, Ctrl-C, and a watchdog for a main that hangs.

Celery sleeps for the whole of ``worker_soft_shutdown_timeout`` if anything was active when it was
asked to stop, in a signal handler, where it learns of no result. Here the results are collected
meanwhile, and the wait is over when nothing is active.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, ClassVar

from celery.concurrency import asynpool, prefork
from celery.worker import state
from celery.worker.consumer import consumer as consumer_module

from worker.errors import ExitCode
from worker.settings import Settings

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
# what a stop may take beside its own waiting time, and a turn of the loop beside a shard
SPARE_SECONDS = 60
WATCHDOG_EXIT_CODE = 1


def install(worker: Any, settings: Settings, beat: Callable[[], None]) -> None:
    """Replace Celery's waiting at a stop, and Ctrl-C; `beat` is called while it waits."""
    seconds = settings.soft_shutdown_seconds
    worker.wait_for_soft_shutdown = lambda: wait_while_active(worker, seconds, beat)

    def on_interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the second Ctrl-C ends it at once
        wait_while_active(worker, seconds, beat)
        if state.active_requests:
            worker.consumer.cancel_active_requests()
            state.should_terminate = ExitCode.STOPPED
        else:
            state.should_stop = ExitCode.STOPPED

    signal.signal(signal.SIGINT, on_interrupt)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        handler = signal.getsignal(number)
        if callable(handler) and not isinstance(handler, BetweenResults):
            signal.signal(number, BetweenResults(handler))
    # A connection that is lost during a stop, after the pool has ended: Celery asks the pool for
    # its size, and the stop became a crash.
    prefork.TaskPool.num_processes = property(_pool_size)


class BetweenResults:
    """A signal handler that is put off while the main thread is at a result.

    A handler that waits would wait for that very result, of which the main thread knows only after
    the handler. It is called at the next turn of the loop instead.
    """

    waiting: ClassVar[list[Callable[[], object]]] = []

    def __init__(self, handler: Callable[..., object]) -> None:
        self._handler = handler

    def __call__(self, *arguments: object) -> None:
        if _files_being_read():
            self.waiting.append(partial(self._handler, *arguments))
        else:
            self._handler(*arguments)

    @classmethod
    def call_waiting(cls) -> None:
        """Call what was put off."""
        while cls.waiting:
            cls.waiting.pop(0)()


def _pool_size(pool: Any) -> int:
    return int(pool.limit if pool._pool is None else pool._pool._processes)


def wait_while_active(worker: Any, seconds: float, beat: Callable[[], None]) -> None:
    """Wait until no shard is in work, at most `seconds`; call `beat` meanwhile."""
    if seconds and state.active_requests:
        log.warning("stopping: the shards in work have %g s to end", seconds)
    deadline = time.monotonic() + seconds
    while state.active_requests and time.monotonic() < deadline:
        beat()
        _collect_results(getattr(worker.pool, "_pool", None), getattr(worker, "hub", None))


def _collect_results(pool: Any, hub: Any) -> None:
    """Handle the results of a prefork pool, as the event loop would; a pool of threads does so."""
    by_file = set(getattr(pool, "_fileno_to_outq", None) or ()) - _files_being_read()
    readers = {number: hub.readers[number] for number in by_file if number in hub.readers}
    if not readers:
        time.sleep(POLL_SECONDS)
        return
    poller = select.poll()
    for number in readers:
        poller.register(number, select.POLLIN)
    for number, _ in poller.poll(POLL_SECONDS * 1000):
        with suppress(OSError, StopIteration):
            read, arguments = readers[number]
            if isinstance(read, Generator):  # the loop has half of a result
                next(read)
            else:
                read(*arguments)


def _files_being_read() -> set[int]:
    """The pipes of results that the main thread was reading or handling when the signal came.

    To read on from there could tear a result in two.
    """
    found: set[int] = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is asynpool.ResultHandler._recv_message.__code__:
            found.add(frame.f_locals["fd"])
        frame = frame.f_back
    return found


class Watchdog:
    """Ends the process if its main thread has not turned for `seconds`.

    It counts its own ticks, not the time: after a suspension of the whole process, main has as many
    seconds as always.
    """

    def __init__(self, seconds: float, end: Callable[[], None] | None = None) -> None:
        self._seconds, self._end = seconds, end or _end_process
        self._silent = 0.0

    def turned(self) -> None:
        """The main thread lives."""
        self._silent = 0.0

    def tick(self, seconds: float) -> bool:
        """Count `seconds` of silence; True once there was too much of it."""
        self._silent += seconds
        return self._silent > self._seconds

    def run(self) -> None:
        """Tick once a second until main hangs."""
        pause = threading.Event()
        while not self.tick(1.0):
            pause.wait(1.0)
        self._end()


def _end_process() -> None:
    log.critical("the main process does not turn any more: it ends, to be started again")
    os._exit(WATCHDOG_EXIT_CODE)


def start_watchdog(settings: Settings) -> None:
    """Watch the main thread from now on.

    Celery calls `maybe_shutdown` at every turn of its loop and at every attempt to connect.
    """
    longest = settings.shard_time_limit + settings.soft_shutdown_seconds + SPARE_SECONDS
    watchdog = Watchdog(longest)
    check = state.maybe_shutdown

    def maybe_shutdown() -> None:
        watchdog.turned()
        BetweenResults.call_waiting()
        check()

    state.maybe_shutdown = consumer_module.maybe_shutdown = maybe_shutdown
    threading.Thread(target=watchdog.run, daemon=True, name="watchdog").start()
