"""Time `fashion-cascade probe live` beside Python's bare start: ``python -m benchmarks.probe``.

Both run in turn, on the state files of a worker with nine processes. Processor time is what a
process used itself, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from worker.probes.state import (
    MAIN,
    NETWORK,
    POOL,
    StateFiles,
    default_name,
    main_text,
    state_folder,
)

PROCESSES = 9


def write_state() -> None:
    """The files of a worker that has just touched them, under TMPDIR."""
    files = StateFiles(state_folder(default_name()))
    files.clear()
    pool = dict.fromkeys(range(1, PROCESSES + 1), time.time())
    files.touch(MAIN, main_text(pool))
    for number in pool:
        files.touch(f"{POOL}{number}", NETWORK)


def milliseconds(command: list[str]) -> tuple[float, float]:
    """By the clock, and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    clock = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return clock * 1000, used * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probe")
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "fashion-cascade probe live": [sys.executable, "-m", "cli", "probe", "live"],
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        for _ in range(options.repeats):
            write_state()
            for name, command in commands.items():
                times[name].append(milliseconds(command))
    print("| | clock, median (range) | processor, median (range) |\n|---|---|---|")
    for name, found in times.items():
        shown = [
            f"{statistics.median(kind):.0f} ms ({min(kind):.0f}–{max(kind):.0f})"
            for kind in zip(*found, strict=True)
        ]
        print(f"| `{name}` | {shown[0]} | {shown[1]} |")


if __name__ == "__main__":
    main()
