"""Measure a contender: wall-clock time, processor time, peak memory and its labels."""

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

Labels = dict[str, str]  # file name -> label; empty for contenders without labels


@dataclass
class Pass:
    """One pass of one contender: its process and the processes that it started, without servers.

    ``seconds`` is wall-clock time, ``peak_bytes`` the largest resident memory.
    """

    contender: str
    pictures: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    labels: Labels = field(default_factory=dict)
    others: float = 0.0  # share of the cores that other work used meanwhile, 0 to 1
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
    """The largest resident memory of processes, sampled twenty times per second."""

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


class ProcessorUse:
    """Processor use of this process and of the machine, as a context manager.

    ``ours``: processor seconds of this process and all that it started, servers included.
    ``others``: share of the cores that other work used meanwhile, 0 to 1. Wall-clock rates are
    meaningful only if it is small.
    """

    def __enter__(self) -> ProcessorUse:
        self.ours = self.others = 0.0
        self._before = (_busy(), cpu_of(process_tree(), ended=True), time.perf_counter())
        return self

    def __exit__(self, *_: object) -> None:
        busy, ours, started = self._before
        self.ours = cpu_of(process_tree(), ended=True) - ours
        seconds = (time.perf_counter() - started) * (psutil.cpu_count() or 1)
        self.others = max(0.0, _busy() - busy - self.ours) / seconds


def _busy() -> float:
    """Processor seconds that all processes of the machine have used so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def in_process(contender: str, pictures: int, work: Callable[[], Labels]) -> Pass:
    """Measure ``work`` in this process. The caller warms up before."""
    with ProcessorUse() as used:
        cpu_before, started = time.process_time(), time.perf_counter()
        labels = work()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Pass(contender, pictures, seconds, cpu, peak, labels, others=used.others)


def cpu_of(processes: list[psutil.Process], *, ended: bool = False) -> float:
    """Processor seconds that processes have used so far.

    With ``ended``, those of their children that have ended and been waited for are included.
    """
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
        total += (times.children_user + times.children_system) * ended
    return total


def process_tree(pid: int | None = None) -> list[psutil.Process]:
    """A process (default: this one) and all its descendants."""
    root = psutil.Process(pid or os.getpid())
    return [root, *root.children(recursive=True)]
