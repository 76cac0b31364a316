"""Twenty minutes, or 200,000 deliveries if they come first: ``benchmarks/soak.py [MINUTES]``.

One worker with two processes labels the same small crawl again and again (a crawl name a round,
each picture with other bytes, so that each is inferred). Prints the memory of each process once a
minute, what was delivered, and what is left unacknowledged in the end.
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
from worker.local_broker import LocalBroker
from worker.settings import BY_NAME, resolve

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


def renew(path: Path, number: int) -> None:
    """Give the file other bytes for the same picture: what follows a JPEG's end is ignored."""
    picture = path.read_bytes().split(b"#round")[0]
    other = path.with_suffix(".new")
    other.write_bytes(picture + f"#round {number}".encode())
    other.replace(path)


def memory(worker: subprocess.Popen[bytes]) -> str:
    processes = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children()]
    return " ".join(f"{process.memory_info().rss >> 20}" for process in processes)


def main(minutes: float) -> None:
    with tempfile.TemporaryDirectory() as name, LocalBroker(Path(name) / "broker") as broker:
        paths = pictures(Path(name) / "pictures")
        given = {
            "broker_url": broker.url,
            "catalogue_url": f"sqlite:///{Path(name) / 'catalogue.db'}",
            "roots": str(Path(name) / "pictures"),
            "shard_size": str(SHARD),
            "batch_size": str(SHARD),
            "pool_size": "2",
        }
        os.environ.update({BY_NAME[key].variable: value for key, value in given.items()})
        settings = resolve(environ=os.environ).settings
        catalogue = Catalogue.open(settings.catalogue_url)
        with (Path(name) / "worker.log").open("wb") as log:
            worker = subprocess.Popen([sys.executable, "-m", "cli", "worker"], stderr=log)
        began, rounds, minute = time.monotonic(), 0, 0
        while time.monotonic() - began < minutes * 60:
            if rounds * PICTURES // SHARD >= MOST_DELIVERIES:
                break
            with Enqueuer(f"round {rounds}", settings=settings, flush_seconds=0.0) as enqueuer:
                for path in paths:
                    renew(path, rounds)
                    enqueuer.add(path)
            rounds += 1
            while ledger.counts(catalogue.engine)["pending"] > PICTURES:
                time.sleep(0.2)
                if (now := int((time.monotonic() - began) / 60)) > minute:
                    minute = now
                    print(f"minute {minute}: {memory(worker)} MB", flush=True)
        while ledger.counts(catalogue.engine)["pending"]:
            time.sleep(0.2)
        from worker.broker import queue_length, unacknowledged

        print(f"{rounds * PICTURES // SHARD} deliveries of {SHARD} pictures")
        print(f"memory at the end: {memory(worker)} MB")
        print(f"waiting {queue_length(settings)}, unacknowledged {unacknowledged(settings)}")
        worker.terminate()
        worker.wait()
        catalogue.close()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
