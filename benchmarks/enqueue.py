"""Measure enqueueing: ``python -m benchmarks.enqueue [PATHS] [FOLDER]``.

Writes a manifest of PATHS paths (default 5,000,000), starts a broker and enqueues the manifest into
a new SQLite catalogue. All files are below FOLDER (default: the temporary folder; 5,000,000 paths
need 4 GB). Prints for each tenth the paths per second, by wall clock and by processor time, and the
resident memory; then the time of ``status``, in this process and as a command.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from db.catalogue import Catalogue
from worker.crawl_progress import crawl_progress
from worker.enqueue import Enqueuer
from worker.queue.local_broker import LocalBroker
from worker.settings import Settings
from worker.sources.manifest import read_crawl_manifest


def write_manifest(file: Path, paths: int) -> None:
    with file.open("w", encoding="utf-8") as stream:
        stream.write("path,shop\n")
        for number in range(paths):
            stream.write(f"/crawl/{number % 1000:03d}/picture-{number:08d}.jpg,shop\n")


def enqueue(manifest: Path, paths: int, settings: Settings) -> None:
    """Enqueue the manifest; print a line for each tenth and one for all of it."""
    marks = [(time.perf_counter(), time.process_time())]
    with Enqueuer("bench", settings=settings, flush_seconds=0.0) as enqueuer:
        for row in read_crawl_manifest(manifest):
            enqueuer.add_row(row)
            if enqueuer.seen % max(1, paths // 10) == 0:
                marks.append((time.perf_counter(), time.process_time()))
                print_rate(enqueuer.seen, paths // 10, marks[-2], marks[-1])
    print_rate(paths, paths, marks[0], (time.perf_counter(), time.process_time()))


def print_rate(
    seen: int, paths: int, before: tuple[float, float], after: tuple[float, float]
) -> None:
    clock, processor = (b - a for a, b in zip(before, after, strict=True))
    size = psutil.Process().memory_info().rss >> 20
    print(
        f"{seen:>9} paths: {paths / clock:6.0f} paths/s by wall clock, "
        f"{paths / processor:6.0f} per processor second, {size} MB",
        flush=True,
    )


def status(url: str, paths: int) -> None:
    """Time the progress of the crawl."""
    catalogue = Catalogue.open(url, create=False)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        (progress,) = crawl_progress(catalogue.engine)
        seconds.append(f"{time.perf_counter() - began:.3f}")
    catalogue.close()
    assert progress.pending == progress.enqueued == paths
    print(f"status of {paths} rows, in a process: {', '.join(seconds)} s")
    began = time.perf_counter()
    command = [sys.executable, "-m", "cli", "status", "--no-queue", "--catalogue", url]
    subprocess.run(command, check=True)
    print(f"as a command, with its startup: {time.perf_counter() - began:.2f} s")


def main(paths: int, parent: str | None) -> None:
    with (
        tempfile.TemporaryDirectory(dir=parent) as name,
        LocalBroker(Path(name) / "broker") as broker,
    ):
        manifest, url = Path(name) / "crawl.csv", f"sqlite:///{Path(name) / 'catalogue.db'}"
        write_manifest(manifest, paths)
        settings = Settings(
            catalogue_url=url,
            broker_url=broker.url,
            model="constant:shoes/male/boots",
            max_queue_length=10_000_000,
        )
        enqueue(manifest, paths, settings)
        status(url, paths)
        written = {file.name: file.stat().st_size >> 20 for file in Path(name).glob("catalogue*")}
        print(f"MB on disk: {written}")


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000,
        sys.argv[2] if len(sys.argv) > 2 else None,
    )
