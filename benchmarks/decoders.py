"""Compare JPEG decoders with Pillow, which training used: speed, pixels, labels.

``python -m benchmarks.decoders --photos FOLDER`` needs opencv-python-headless and simplejpeg. Each
decoder reads every JPEG in the folder and the 300 × 400 corpus made from it. The pictures are
fitted into the frame the same way and labelled by the shipped cascade in float32.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from benchmarks import corpus
from benchmarks.local import BATCH
from cascade.backends import LITERT_FLOAT32
from cascade.classifier import Cascade
from cascade.pictures.decode import Preprocessing, decode, fit

Decoder = Callable[[bytes, Preprocessing], np.ndarray]


def opencv(data: bytes, frame: Preprocessing) -> np.ndarray:
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    target = fit((width, height), frame)
    scales = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4}
    scales |= {2: cv2.IMREAD_REDUCED_COLOR_2, 1: cv2.IMREAD_COLOR}
    scale = next(s for s in scales if s == 1 or min(width / target[0], height / target[1]) >= s)
    flags = scales[scale] | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return framed(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), target, frame)


def turbo(data: bytes, frame: Preprocessing) -> np.ndarray:
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    target = fit((width, height), frame)
    small = {"min_width": target[0], "min_height": target[1], "min_factor": 1.0}
    return framed(simplejpeg.decode_jpeg(data, colorspace="RGB", **small), target, frame)


def framed(pixels: np.ndarray, target: tuple[int, int], frame: Preprocessing) -> np.ndarray:
    """Resize (area mean when shrinking, cubic when enlarging) and centre on the background."""
    shrinks = target[0] < pixels.shape[1] or target[1] < pixels.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    pixels = cv2.resize(pixels, target, interpolation=method)
    canvas = np.empty((frame.height, frame.width, 3), np.uint8)
    canvas[:] = frame.background
    left, top = (frame.width - target[0]) // 2, (frame.height - target[1]) // 2
    canvas[top : top + target[1], left : left + target[0]] = pixels
    return canvas


def pillow(data: bytes, frame: Preprocessing) -> np.ndarray:
    found = decode(data, frame)
    assert isinstance(found, np.ndarray), found
    return found


def compare(name: str, files: Sequence[bytes], cascade: Cascade) -> None:
    """Print a row per decoder for these files."""
    expected: tuple[np.ndarray, list[str], list[str]] | None = None
    decoders: dict[str, Decoder] = {"pillow": pillow, "opencv": opencv, "simplejpeg": turbo}
    for decoder, run in decoders.items():
        began = time.process_time()
        pixels = np.stack([run(data, cascade.preprocessing) for data in files])
        cost = (time.process_time() - began) / len(files) * 1e3
        answers = [
            answer
            for start in range(0, len(pixels), BATCH)
            for answer in cascade.classify(pixels[start : start + BATCH])
        ]
        labels, leaves = [a.label for a in answers], [a.best_leaf for a in answers]
        expected = expected or (pixels, labels, leaves)
        difference = np.abs(pixels.astype(np.int16) - expected[0]).mean()
        other_labels = sum(a != b for a, b in zip(labels, expected[1], strict=True)) / len(files)
        other_leaves = sum(a != b for a, b in zip(leaves, expected[2], strict=True)) / len(files)
        print(
            f"| {name}, {len(files)} | {decoder} | {cost:.2f} | {difference:.2f} "
            f"| {other_leaves:.2%} | {other_labels:.2%} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoders")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/bench"))
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    cascade = Cascade.load(backend=LITERT_FLOAT32)
    print("| pictures | decoder | ms | mean difference, of 255 | other best leaf | other label |")
    print("|---|---|---|---|---|---|")
    contents = (path.read_bytes() for path in sorted(options.photos.rglob("*.jpg")))
    usable = [d for d in contents if isinstance(decode(d, cascade.preprocessing), np.ndarray)]
    usable = [data for data in usable if data[:2] == b"\xff\xd8"]
    compare("as they are", usable, cascade)
    made = corpus.make(options.photos, options.work.resolve(), "shop", options.count)
    compare("300 × 400", [path.read_bytes() for path in made], cascade)


if __name__ == "__main__":
    main()
