"""Ray Data: ``map_batches`` over the paths, with one actor per core that holds the cascade."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.local import BATCH, cores
from benchmarks.measuring import Labels, Pass, Peak, ProcessorUse, cpu_of, process_tree
from cascade.classifier import Cascade
from cascade.pictures.decode import load


class Labeller:
    """An actor that decodes and labels a batch of paths on one thread."""

    def __init__(self, bundle: str, backend: str) -> None:
        self.cascade = Cascade.load(bundle, backend=backend, threads=1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        frame = self.cascade.preprocessing
        pictures = [load(str(path), frame).pixels for path in batch["item"]]
        decoded = [n for n, pixels in enumerate(pictures) if pixels is not None]
        labels = np.array([""] * len(pictures), object)
        answers = self.cascade.classify(np.stack([pictures[n] for n in decoded]))
        for number, answer in zip(decoded, answers, strict=True):
            labels[number] = answer.label
        return {"item": batch["item"], "label": labels.astype(str)}


def map_batches(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """Measure the second pass, when Ray and the caches are warm."""
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
        before = cpu_of(process_tree())
        with Peak(process_tree) as peak, ProcessorUse() as used:
            started = time.perf_counter()
            labels = run(paths)
            seconds = time.perf_counter() - started
            cpu = cpu_of(process_tree()) - before
    finally:
        ray.shutdown()
    done = Pass("Ray Data map_batches", len(paths), seconds, cpu, peak.bytes, labels)
    done.others = used.others
    return done
