"""Soak test: a worker for 20 minutes or 200,000 deliveries, with the memory of each process.

``python -m benchmarks.soak [MINUTES]``

One worker with two processes labels the same small crawl again and again. Each round has a new
crawl name and other bytes in each picture, so that every picture is inferred. Prints each process's
resident memory once per minute, the number of deliveries, the messages left unacknowledged, and how
many MB per hour each process gained over the second half.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from db import ledger
from db.catalogue import Catalogue
from worker.enqueue import Enqueuer
from worker.queue.broker import queue_length, unacknowledged
from worker.queue.local_broker import LocalBroker
from worker.settings import BY_NAME, Settings, resolve

MOST_DELIVERIES, SHARD, PICTURES = 200_000, 8, 2_000


def pictures(folder: Path) -> list[Path]:
    import numpy as np
    from PIL import Image

    folder.mkdir()
    paths = []
    for number in range(PICTURES):
        noise = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
        path = folder / f"{number:05d}.jpg"
        Image.fromarray(noise).resize((90, 120)).save(path)
        paths.append(path)
    return paths


def change_bytes(path: Path, number: int) -> None:
    """Give the file other bytes for the same picture: decoders ignore bytes after a JPEG's end."""
    picture = path.read_bytes().split(b"#round")[0]
    other = path.with_suffix(".new")
    other.write_bytes(picture + f"#round {number}".encode())
    other.replace(path)


class Memory:
    """Resident MB of the worker (first) and of each process of its pool, once per minute."""

    def __init__(self, worker: subprocess.Popen[bytes]) -> None:
        self._worker, self._began = psutil.Process(worker.pid), time.monotonic()
        self._samples: list[tuple[float, dict[int, float]]] = []

    def sample_if_due(self) -> None:
        """Take and print a sample if the last one is a minute old."""
        minutes = (time.monotonic() - self._began) / 60
        if minutes >= len(self._samples):
            self.sample()

    def sample(self) -> None:
        minutes = (time.monotonic() - self._began) / 60
        processes = [self._worker, *self._worker.children()]
        found = {process.pid: process.memory_info().rss / (1 << 20) for process in processes}
        self._samples.append((minutes, found))
        shown = " ".join(f"{size:.1f}" for size in found.values())
        print(f"minute {minutes:.1f}: {shown} MB", flush=True)

    def slopes(self) -> str:
        """MB per hour of each process over the second half of the samples, by least squares."""
        import numpy as np

        half = self._samples[len(self._samples) // 2 :]
        hours = np.array([minutes / 60 for minutes, _ in half])
        lines = []
        for pid in half[0][1]:
            sizes = np.array([found.get(pid, np.nan) for _, found in half])
            slope = np.polyfit(hours, sizes, 1)[0] if len(half) > 1 else np.nan
            lines.append(f"{slope:+.1f}")
        return " ".join(lines)


def work(settings: Settings, catalogue: Catalogue, paths: list[Path], memory: Memory) -> int:
    """Deliver rounds until the time or the number is reached; returns the number of rounds."""
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < minutes_to_run() * 60:
        if rounds * PICTURES // SHARD >= MOST_DELIVERIES:
            break
        with Enqueuer(f"round {rounds}", settings=settings, flush_seconds=0.0) as enqueuer:
            for path in paths:
                change_bytes(path, rounds)
                enqueuer.add(path)
        rounds += 1
        wait(catalogue, PICTURES, memory)
    wait(catalogue, 0, memory)
    return rounds


def wait(catalogue: Catalogue, pending: int, memory: Memory) -> None:
    """Wait until at most `pending` rows are pending."""
    while ledger.counts(catalogue.engine)["pending"] > pending:
        time.sleep(0.2)
        memory.sample_if_due()


def minutes_to_run() -> float:
    return float(sys.argv[1]) if len(sys.argv) > 1 else 20.0


def main() -> None:
    with tempfile.TemporaryDirectory() as name, LocalBroker(Path(name) / "broker") as broker:
        paths = pictures(Path(name) / "pictures")
        values = {
            "broker_url": broker.url,
            "catalogue_url": f"sqlite:///{Path(name) / 'catalogue.db'}",
            "roots": str(Path(name) / "pictures"),
            "shard_size": str(SHARD),
            "batch_size": str(SHARD),
            "pool_size": "2",
            # Celery keeps the timer of a shard's limit until the limit, even when the shard is
            # done: 0.6 kB per shard, constant after that time
            "shard_time_limit": "60",
        }
        os.environ.update({BY_NAME[key].variable: value for key, value in values.items()})
        settings = resolve(environ=os.environ).settings
        catalogue = Catalogue.open(settings.catalogue_url)
        with (Path(name) / "worker.log").open("wb") as log:
            worker = subprocess.Popen([sys.executable, "-m", "cli", "worker"], stderr=log)
        memory = Memory(worker)
        rounds = work(settings, catalogue, paths, memory)
        memory.sample()
        print(f"{rounds * PICTURES // SHARD} deliveries of {SHARD} pictures")
        print(f"MB per hour, over the second half: {memory.slopes()}")
        print(f"rows: {dict(ledger.counts(catalogue.engine))}")
        print(f"waiting {queue_length(settings)}, unacknowledged {unacknowledged(settings)}")
        worker.terminate()
        worker.wait()
        catalogue.close()


if __name__ == "__main__":
    main()
