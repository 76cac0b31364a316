"""How fast paths get into ledger and queue: ``python -m benchmarks.enqueue [PATHS]``.

Writes a manifest of that many paths (5,000,000 unless given), starts a broker, enqueues it into a
fresh SQLite catalogue, and prints paths a second, the peak memory of the process, and how long
``status`` takes afterwards.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from db.catalogue import Catalogue
from worker.enqueue import Enqueuer
from worker.local_broker import LocalBroker
from worker.manifests import read_manifest
from worker.settings import Settings
from worker.standing import standings


def main(paths: int) -> None:
    with tempfile.TemporaryDirectory() as name, LocalBroker(Path(name) / "broker") as broker:
        manifest = Path(name) / "crawl.csv"
        with manifest.open("w", encoding="utf-8") as stream:
            stream.write("path,shop\n")
            for number in range(paths):
                stream.write(f"/crawl/{number % 1000:03d}/picture-{number:08d}.jpg,shop\n")
        url = f"sqlite:///{Path(name) / 'catalogue.db'}"
        os.environ["FASHION_CASCADE_BROKER_URL"] = broker.url
        settings = Settings(
            catalogue_url=url,
            broker_url=broker.url,
            model="constant:shoes/male/boots",
            max_queue_length=10_000_000,
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        with Enqueuer("bench", settings=settings, flush_seconds=0.0) as enqueuer:
            for row in read_manifest(manifest):
                enqueuer.add_row(row)
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        catalogue = Catalogue.open(url, create=False)
        began = time.perf_counter()
        (standing,) = standings(catalogue.engine)
        looked = time.perf_counter() - began
        catalogue.close()
        assert standing.pending == paths
        print(f"{paths} paths in {seconds:.1f} s: {paths / seconds:.0f} paths/s")
        print(f"peak memory {before / 1024:.0f} MB before, {after / 1024:.0f} MB after")
        print(f"status of {paths} rows: {looked:.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000)
