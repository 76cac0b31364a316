"""Run a PostgreSQL server for benchmarks until Ctrl-C, from the package that the tests use.

    python -m benchmarks.postgres FOLDER [--settings shared_buffers=1GB,max_wal_size=4GB]

The data is kept in FOLDER. Unlike the tests' server, it has PostgreSQL's default durability: a
commit is on disk before the server answers.
"""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from tests.servers import prepared, start_postgres

SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--settings", default="")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    changes = dict(item.split("=", 1) for item in options.settings.split(",") if item)
    server = start_postgres(options.folder, prepared(options.folder), SETTINGS | changes)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        print(server.url("postgres"), flush=True)
        stop.wait()
    finally:
        server.process.send_signal(signal.SIGINT)  # fast shutdown: the next start needs no recovery
        server.process.wait()


if __name__ == "__main__":
    main()
