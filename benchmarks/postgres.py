"""A PostgreSQL to measure against, from the package that the tests use; it stays until Ctrl-C.

    python -m benchmarks.postgres FOLDER [--settings shared_buffers=1GB,max_wal_size=4GB]

The data stay in FOLDER. Unlike the tests' server it is as safe as PostgreSQL's defaults make it:
a commit is on the disk before it is answered.
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
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    given = dict(item.split("=", 1) for item in asked.settings.split(",") if item)
    server = start_postgres(asked.folder, prepared(asked.folder), SETTINGS | given)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        print(server.url("postgres"), flush=True)
        stop.wait()
    finally:
        server.process.send_signal(signal.SIGINT)  # a fast shutdown, which leaves nothing to redo
        server.process.wait()


if __name__ == "__main__":
    main()
