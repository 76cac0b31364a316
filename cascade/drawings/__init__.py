"""Draws the leaves of the shipped taxonomy, for a sample crawl where there are no photographs.

The drawings show that the system runs. Its accuracy on them says nothing about photographs. This is
the only package that knows the names of the leaves.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from cascade.drawings import garments, light_shoes, out_of_scope, shoes
from cascade.drawings.pen import Colour, Pen

OUT_OF_SCOPE = "out_of_scope"

# leaf -> (function that draws it, strength of the woven texture)
_FIGURES: dict[str, tuple[Callable[[Pen], None], float]] = {
    "glasses/optical": (lambda pen: garments.glasses(pen, dark=False), 0.0),
    "glasses/sunglasses": (lambda pen: garments.glasses(pen, dark=True), 0.0),
    "trousers_jeans/female/jeans": (
        lambda pen: garments.trousers(pen, female=True, jeans=True),
        0.3,
    ),
    "trousers_jeans/female/trousers": (
        lambda pen: garments.trousers(pen, female=True, jeans=False),
        0.15,
    ),
    "trousers_jeans/male/jeans": (
        lambda pen: garments.trousers(pen, female=False, jeans=True),
        0.3,
    ),
    "trousers_jeans/male/trousers": (
        lambda pen: garments.trousers(pen, female=False, jeans=False),
        0.15,
    ),
    "shoes/male/boots": (lambda pen: shoes.boots(pen, female=False), 0.15),
    "shoes/male/trainers_sneakers": (lambda pen: shoes.sneakers(pen, female=False), 0.1),
    "shoes/male/sandals": (lambda pen: light_shoes.sandals(pen, female=False), 0.1),
    "shoes/male/formal": (shoes.formal, 0.05),
    "shoes/male/other": (light_shoes.clogs, 0.05),
    "shoes/female/boots": (lambda pen: shoes.boots(pen, female=True), 0.15),
    "shoes/female/ballerina": (light_shoes.ballerina, 0.05),
    "shoes/female/trainers_sneakers": (lambda pen: shoes.sneakers(pen, female=True), 0.1),
    "shoes/female/sandals": (lambda pen: light_shoes.sandals(pen, female=True), 0.05),
    "shoes/female/high_heels": (light_shoes.high_heels, 0.03),
    "shoes/female/other": (light_shoes.slippers, 0.15),
}
LEAVES = (*_FIGURES, OUT_OF_SCOPE)


def render(leaf: str, seed: int) -> Image.Image:
    """Draw ``leaf`` as RGB, 240 × 320 pixels. The same seed gives the same drawing.

    Raises ``ValueError`` for a leaf without a drawing.
    """
    rng = random.Random(f"{leaf}/{seed}")  # seeded by text: the same in every process
    if leaf == OUT_OF_SCOPE:
        number = rng.randrange(len(out_of_scope.FIGURES) + 2)
        if number >= len(out_of_scope.FIGURES):
            return (out_of_scope.banner, out_of_scope.junk)[number - len(out_of_scope.FIGURES)](rng)
        figure, grain = out_of_scope.FIGURES[number], 0.1
    elif leaf in _FIGURES:
        figure, grain = _FIGURES[leaf]
    else:
        raise ValueError(f"expected a leaf of {', '.join(LEAVES)}; received {leaf!r}")
    pen = Pen(rng)
    figure(pen)
    return pen.finish(background=_background(rng), grain=grain)


def _background(rng: random.Random) -> Colour:
    """White or almost white, as in a shop."""
    grey = rng.choice((255, 255, rng.randint(232, 254)))
    red, green, blue = (max(0, min(255, grey + rng.randint(-3, 3))) for _ in range(3))
    return (red, green, blue) if grey < 255 else (255, 255, 255)


def write_sample_crawl(
    folder: str | Path, per_leaf: int, seed: int, *, junk: bool = True, labelled: bool = False
) -> list[Path]:
    """Write ``per_leaf`` JPEGs of each leaf and return the paths of all files of the crawl.

    A file that already has the same bytes is not touched, so a second call changes nothing.

    Args:
        folder: The folder of the crawl; created if missing.
        per_leaf: Drawings of each leaf.
        seed: The same seed gives the same files.
        junk: Add the broken files that every crawl has.
        labelled: Write into a folder for each label (``shoes/female/sandals/0001.jpg``). Otherwise
            all files are in one folder, and their names do not tell the label.
    """
    folder = Path(folder)
    numbers = list(range(1, per_leaf * len(LEAVES) + 1))
    random.Random(seed).shuffle(numbers)
    written = []
    for leaf in LEAVES:
        for number in range(per_leaf):
            flat = folder / f"{numbers.pop():05d}.jpg"
            path = folder / leaf / f"{number + 1:04d}.jpg" if labelled else flat
            _write(path, _jpeg(render(leaf, seed * 1_000_003 + number)))
            written.append(path)
    return written + (_write_junk(folder, seed) if junk else [])


def _write_junk(folder: Path, seed: int) -> list[Path]:
    """Write a web page named .jpg, a truncated JPEG and an empty file."""
    whole = _jpeg(render(LEAVES[0], seed))
    junk = {
        "broken-page.jpg": b"<!DOCTYPE html>\n<title>404 Not Found</title>\n",
        "broken-half.jpg": whole[: len(whole) // 2],
        "broken-empty.jpg": b"",
    }
    for name, data in junk.items():
        _write(folder / name, data)
    return [folder / name for name in junk]


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
