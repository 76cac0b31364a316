"""Small crawls of distinct pictures that the worker's tests label."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

MODEL_NAME = "constant:shoes/female/sandals"


def picture(number: int, size: tuple[int, int] = (60, 80)) -> Image.Image:
    """A small picture that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)


def write_crawl(folder: Path, count: int, first: int = 0) -> list[Path]:
    """`count` PNG files in `folder`, no two with the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.png" for number in range(first, first + count)]
    for number, path in enumerate(paths, first):
        picture(number).save(path, compress_level=1)
    return paths


@dataclass(frozen=True)
class Crawl:
    """Pictures in a folder, and the label that an undisturbed run gave each, by its name."""

    folder: Path
    labels: dict[str, str]

    def copy(self, folder: Path, count: int | None = None) -> dict[str, str]:
        """Put the first `count` pictures, or all, into `folder`; the label of each path there."""
        folder.mkdir(parents=True)
        names = sorted(self.labels)[:count]
        for name in names:
            os.link(self.folder / name, folder / name)
        return {str(folder / name): self.labels[name] for name in names}
