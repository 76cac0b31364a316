"""Accuracy against processor time: ``python -m benchmarks.accuracy [BUNDLE…] --photos FOLDER``.

A row for each bundle and each backend that it has files for, on labelled photographs (folders are
labels). Processor time is that of the networks and the routing, batches of 64, best of three
passes; the decoder's comes on top and is the same for all.
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
PICTURES = 1024  # that are timed; all of them are judged
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
    """Labels by the mean of a picture's logits and those of its mirror image, at twice the cost."""

    def classify(pixels: np.ndarray) -> Sequence[Prediction]:
        flipped = np.ascontiguousarray(pixels[:, :, ::-1])
        return cascade.routing.label((cascade.logits(pixels) + cascade.logits(flipped)) / 2)

    return classify


def row(folder: Path, backend: str, photos: Path, mirror: bool) -> list[str]:
    cascade = Cascade.load(folder, warm_up=BATCH, backend=backend)
    classify: Classify = mirrored(cascade) if mirror else cascade.classify
    taxonomy = cascade.taxonomy
    pictures = decode_items(read_labelled(photos, taxonomy), cascade.preprocessing)
    wanted = [item.label for item in pictures.items]
    said = [
        answer
        for start in range(0, len(wanted), BATCH)
        for answer in classify(pictures.pixels[start : start + BATCH])
    ]
    pairs = list(zip(said, wanted, strict=True))
    outside = taxonomy.out_of_scope
    leaf = Rate.of(a.best_leaf == w for a, w in pairs if w in taxonomy.leaves and w != outside)
    found = Rate.of(a.best_leaf == outside for a, w in pairs if w == outside)
    label = Rate.of(w == a.label or w.startswith(f"{a.label}/") for a, w in pairs)
    cost = milliseconds(classify, pictures.pixels[:PICTURES])
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return [
        f"{folder.name} {cascade.version[:8]}",
        f"{backend}, mirrored too" if mirror else backend,
        f"{percent(leaf.value)} of {leaf.count}",
        f"{percent(found.value)} of {found.count}",
        percent(label.value),
        f"{cost:.2f}",
        f"{size / 1e6:.0f}",
    ]


def milliseconds(classify: Classify, pixels: np.ndarray) -> float:
    """Processor milliseconds a picture, the best pass."""
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
    parser.add_argument("--photos", type=Path, required=True, help="folders that are labels")
    parser.add_argument("--backends", nargs="*", choices=CHOICES[1:], help="only these")
    parser.add_argument("--mirror", action="store_true", help="and the mirror image, averaged")
    options = parser.parse_args()
    # float16 is for a GPU: a CPU takes ten times as long for it
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
