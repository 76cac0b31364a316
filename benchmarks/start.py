"""Time the start of a worker to its first label: ``python -m benchmarks.start --photos FOLDER``.

300 pictures wait in the queue, on PostgreSQL. The time runs from the start of the process to the
first row. Also measures the memory of each process of the worker once it has labelled them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from benchmarks import corpus
from benchmarks.measuring import ProcessorUse, cpu_of, process_tree
from benchmarks.queue import ROOT, SECONDS, environment, finished_rows, servers, started
from cascade.bundle import SHIPPED
from tests.servers import wait_until

PICTURES = 300


def first_label(paths: list[Path], backend: str) -> dict[str, Any]:
    """Seconds to the first row, processor seconds to the last, memory of each process."""
    from db.session import make_engine

    with tempfile.TemporaryDirectory() as name, servers(Path(name)) as (broker, url):
        environ = environment(Path(name), broker.url, url, SHIPPED, backend)
        cli = [sys.executable, "-m", "cli"]
        subprocess.run([*cli, "enqueue", str(paths[0].parent)], env=environ, cwd=ROOT, check=True)
        engine = make_engine(url)
        with ProcessorUse() as used:
            began = time.time()
            with started([*cli, "worker"], environ, Path(name) / "log") as pid:
                wait_until(lambda: finished_rows(engine) >= len(paths), "the pictures", SECONDS)
                processes = process_tree(pid)
                cpu, memory = cpu_of(processes, ended=True), [sizes(each) for each in processes]
        with engine.connect() as connection:
            query = "SELECT extract(epoch FROM min(labelled_at)) FROM catalogue"
            first = float(connection.execute(sa.text(query)).scalar_one())
        engine.dispose()
    found = {"backend": backend, "seconds": first - began, "cpu": cpu, "others": used.others}
    return found | {"memory": [each for each in memory if each["resident"] > 30]}


def sizes(process: psutil.Process) -> dict[str, int]:
    """Megabytes: resident (RSS), proportional (PSS), and unshared (USS)."""
    full = process.memory_full_info()
    return {
        "resident": round(full.rss / 1e6),
        "proportional": round(full.pss / 1e6),
        "own": round(full.uss / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/bench"), help="folder of corpora and results"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--backends", nargs="*", default=["openvino", "litert_float32", "tensorflow"]
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    paths = corpus.make(options.photos, options.work.resolve(), "shop", PICTURES)
    passes = [
        first_label(paths, backend) for _ in range(options.repeats) for backend in options.backends
    ]
    (options.work / "start.json").write_text(json.dumps(passes, indent=1) + "\n")
    print("| backend | seconds to the first label | processor | others | largest process |")
    print("|---|---|---|---|---|")
    for backend in options.backends:
        mine = [each for each in passes if each["backend"] == backend]
        largest = max(mine[-1]["memory"], key=lambda each: int(each["resident"]))
        seconds = sorted(each["seconds"] for each in mine)
        print(
            f"| {backend} | {statistics.median(seconds):.1f} ({seconds[0]:.1f}–{seconds[-1]:.1f}) "
            f"| {statistics.median(each['cpu'] for each in mine):.1f} s "
            f"| {statistics.median(each['others'] for each in mine):.0%} "
            f"| {largest['resident']} MB resident, {largest['own']} MB unshared |"
        )


if __name__ == "__main__":
    main()
