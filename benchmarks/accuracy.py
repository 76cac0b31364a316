"""Measure accuracy against processor time.

``python -m benchmarks.accuracy [BUNDLE…] --photos FOLDER``

Prints a row for each bundle and each of its backends, on labelled photographs (folders are labels).
Processor time is that of networks and routing in batches of 64, the best of three passes. Decoding
is not included; it costs the same for all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.local import BATCH
from cascade.backends import CHOICES, TENSORFLOW_FLOAT16, available, has_gpu
from cascade.bundle import SHIPPED, Bundle
from cascade.classifier import Cascade
from cascade.data.dataset import decode_items, read_labelled
from cascade.evaluation.metrics import Rate
from cascade.evaluation.tables import percent
from cascade.routing import Prediction
from rendering.text import markdown_table

PASSES = 3
TIMED_PICTURES = 1024  # accuracy is measured on all
HEADER = (
    "bundle",
    "backend",
    "leaf, in scope",
    "out of scope found",
    "label as wanted",
    "ms",
    "MB",
)


Classify = Callable[[np.ndarray], Sequence[Prediction]]


def mirrored(cascade: Cascade) -> Classify:
    """Classify by the mean logits of a picture and its mirror image, at twice the cost."""

    def classify(pixels: np.ndarray) -> Sequence[Prediction]:
        flipped = np.ascontiguousarray(pixels[:, :, ::-1])
        return cascade.routing.label((cascade.logits(pixels) + cascade.logits(flipped)) / 2)

    return classify


def row(folder: Path, backend: str, photos: Path, mirror: bool) -> list[str]:
    cascade = Cascade.load(folder, warm_up=BATCH, backend=backend)
    classify: Classify = mirrored(cascade) if mirror else cascade.classify
    taxonomy = cascade.taxonomy
    pictures = decode_items(read_labelled(photos, taxonomy), cascade.preprocessing)
    expected = [item.label for item in pictures.items]
    predictions = [
        answer
        for start in range(0, len(expected), BATCH)
        for answer in classify(pictures.pixels[start : start + BATCH])
    ]
    pairs = list(zip(predictions, expected, strict=True))
    outside = taxonomy.out_of_scope
    leaf = Rate.of(p.best_leaf == e for p, e in pairs if e in taxonomy.leaves and e != outside)
    found = Rate.of(p.best_leaf == outside for p, e in pairs if e == outside)
    label = Rate.of(e == p.label or e.startswith(f"{p.label}/") for p, e in pairs)
    cost = milliseconds(classify, pictures.pixels[:TIMED_PICTURES])
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return [
        f"{folder.name} {cascade.version[:8]}",
        f"{backend}, with mirror image" if mirror else backend,
        f"{percent(leaf.value)} of {leaf.count}",
        f"{percent(found.value)} of {found.count}",
        percent(label.value),
        f"{cost:.2f}",
        f"{size / 1e6:.0f}",
    ]


def milliseconds(classify: Classify, pixels: np.ndarray) -> float:
    """Processor milliseconds per picture, in the best pass."""
    costs = []
    for _ in range(PASSES):
        began = time.process_time()
        for start in range(0, len(pixels), BATCH):
            classify(pixels[start : start + BATCH])
        costs.append((time.process_time() - began) / len(pixels) * 1e3)
    return min(costs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy")
    parser.add_argument("bundles", nargs="*", type=Path, default=[SHIPPED])
    parser.add_argument(
        "--photos", type=Path, required=True, help="folder whose folders are labels"
    )
    parser.add_argument("--backends", nargs="*", choices=CHOICES[1:], help="only these backends")
    parser.add_argument("--mirror", action="store_true", help="also average with the mirror image")
    options = parser.parse_args()
    # float16 is for GPUs: it is ten times slower on a CPU
    usual = [name for name in CHOICES if name != TENSORFLOW_FLOAT16 or has_gpu()]
    rows = [
        row(folder, backend, options.photos, mirror)
        for folder in options.bundles or [SHIPPED]
        for backend in available(Bundle.open(folder))
        if backend in (options.backends or usual)
        for mirror in ((False, True) if options.mirror else (False,))
    ]
    print(markdown_table(HEADER, rows))


if __name__ == "__main__":
    main()
