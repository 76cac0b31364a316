"""One pass of one contender: how long, how much processor time, how much memory, what it said."""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

Labels = dict[str, str]  # file name -> label, empty where a contender gives none


@dataclass
class Pass:
    """Seconds of wall clock, of processor time, and bytes at the peak; of this process and those
    that it started (servers are counted apart)."""

    contender: str
    pictures: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    labels: Labels = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.pictures / self.seconds

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Pass:
        return cls(**json.loads(path.read_text()))


class Peak:
    """The largest resident size of processes, looked at twenty times a second."""

    def __init__(self, processes: Callable[[], list[psutil.Process]]) -> None:
        self.bytes = 0
        self._processes = processes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.bytes = max(self.bytes, sum(_size(p) for p in self._processes()))


def _size(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def in_process(contender: str, pictures: int, work: Callable[[], Labels]) -> Pass:
    """Measure ``work`` in this process; warm up before."""
    used, started = time.process_time(), time.perf_counter()
    labels = work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Pass(contender, pictures, seconds, cpu, peak, labels)


def cpu_of(processes: list[psutil.Process]) -> float:
    """Processor seconds that processes have used so far, those that ended left out."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def tree(pid: int | None = None) -> list[psutil.Process]:
    """A process and all below it."""
    root = psutil.Process(pid or os.getpid())
    return [root, *root.children(recursive=True)]
