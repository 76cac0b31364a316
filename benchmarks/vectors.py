"""What vectors cost: labelling with and without them in turn, and the search among a million.

    python -m benchmarks.vectors --pictures 2000 --rounds 5 --vectors 1000000

Both ways of labelling run in one process on the same drawings, one after the other in each round,
so that other work on the machine meets both. The ratio of processor seconds is less disturbed by it
than that of wall-clock time. The search reads vectors drawn at random from memory, as the page and
the command do after they have loaded them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import ProcessorUse
from cascade.drawings import write_sample_crawl
from db.catalogue import Catalogue
from db.features import VectorIndex
from worker.local import LocalRun
from worker.model_loader import Model, open_model, register_model
from worker.report import Report
from worker.settings import Settings
from worker.sources.scan import SkippedFiles, sources

LEAVES = 21


def label_once(model: Model, folder: Path) -> tuple[float, float, int]:
    """Wall-clock and processor seconds of labelling a folder into a new catalogue."""
    with tempfile.TemporaryDirectory() as place:
        catalogue = Catalogue.open(f"sqlite:///{place}/catalogue.db")
        register_model(catalogue, model)
        run = LocalRun(catalogue, model, Settings(), threading.Event())
        report = Report()
        wall, cpu = time.perf_counter(), time.process_time()
        run.label(sources([str(folder)]), report, SkippedFiles())
        taken = time.perf_counter() - wall, time.process_time() - cpu, report.processed
        catalogue.close()
    return taken


def labelling(pictures: int, rounds: int) -> None:
    """Print the ratios of each round and their medians."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "crawl"
        write_sample_crawl(folder, -(-pictures // LEAVES), 1, junk=False, labelled=True)
        plain, kept = open_model("default"), open_model("default", features=True)
        for model in (plain, kept):
            label_once(model, folder)  # warm: networks, files
        walls, cpus = [], []
        for number in range(rounds):
            pair = [(kept, 1), (plain, 0)] if number % 2 else [(plain, 0), (kept, 1)]
            found = {which: label_once(model, folder) for model, which in pair}
            walls.append(found[0][0] / found[1][0])
            cpus.append(found[0][1] / found[1][1])
            print(
                f"{found[0][2]} pictures: {found[0][2] / found[0][0]:.0f} /s without, "
                f"{found[1][2] / found[1][0]:.0f} /s with vectors",
                flush=True,
            )
    for name, ratios in (("pictures per second", walls), ("per processor second", cpus)):
        low, high = min(ratios), max(ratios)
        print(f"{name}, with / without: {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})")


def searching(count: int, rounds: int) -> None:
    """Print the milliseconds of an exact search for the 100 nearest of ``count`` vectors."""
    random = np.random.default_rng(1)
    vectors = random.integers(-60, 61, (count, 64), dtype=np.int8)
    index = VectorIndex.of("drawn", np.arange(count), vectors)
    asked = random.integers(-60, 61, (rounds + 1, 64), dtype=np.int8)
    index.nearest(asked[0], 100)
    taken = []
    for vector in asked[1:]:
        began = time.perf_counter()
        index.nearest(vector, 100)
        taken.append(1000 * (time.perf_counter() - began))
    print(
        f"search among {count:,}: median {statistics.median(taken):.0f} ms, "
        f"{min(taken):.0f} to {max(taken):.0f} ms, {rounds} searches"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with ProcessorUse() as used:
        labelling(arguments.pictures, arguments.rounds)
        searching(arguments.vectors, 20)
    print(f"other work used {used.others:.0%} of the cores meanwhile")


if __name__ == "__main__":
    main()
