"""Ray Data: ``map_batches`` over the paths, an actor with the cascade on each core."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.local import BATCH, cores
from benchmarks.measuring import Labels, Machine, Pass, Peak, cpu_of, tree
from cascade.classifier import Cascade
from cascade.pictures.decode import load


class Labeller:
    """One actor: decodes a batch of paths and labels it, on one thread."""

    def __init__(self, bundle: str, backend: str) -> None:
        self.cascade = Cascade.load(bundle, backend=backend, threads=1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        frame = self.cascade.preprocessing
        found = [load(str(path), frame).pixels for path in batch["item"]]
        good = [n for n, pixels in enumerate(found) if pixels is not None]
        labels = np.array([""] * len(found), object)
        answers = self.cascade.classify(np.stack([found[n] for n in good]))
        for number, answer in zip(good, answers, strict=True):
            labels[number] = answer.label
        return {"item": batch["item"], "label": labels.astype(str)}


def map_batches(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """From the second pass on, so that actors and networks are warm in the machine's caches."""
    import ray

    ray.init(num_cpus=cores(), include_dashboard=False, log_to_driver=False)
    try:

        def run(chosen: Sequence[Path]) -> Labels:
            labelled = ray.data.from_items([str(path) for path in chosen]).map_batches(
                Labeller,
                batch_size=BATCH,
                concurrency=cores(),
                fn_constructor_args=(str(bundle), backend),
            )
            rows = labelled.take_all()
            return {Path(row["item"]).name: row["label"] for row in rows if row["label"]}

        run(paths[: 2 * BATCH])
        before = cpu_of(tree())
        with Peak(tree) as peak, Machine() as machine:
            started = time.perf_counter()
            labels = run(paths)
            seconds = time.perf_counter() - started
            used = cpu_of(tree()) - before
    finally:
        ray.shutdown()
    done = Pass("Ray Data map_batches", len(paths), seconds, used, peak.bytes, labels)
    done.others = machine.others
    return done
