"""Measure shortcut learning: accuracy on changed pictures that show the same article.

    python -m tools.shortcuts photos/manifest.csv [BUNDLE …] [--split test] [--node shoes]

Shops differ in framing, light and mirroring. A network whose answers change when a picture is
shifted by a twentieth has learnt its shop's framing, however accurate it is on that shop. Prints
the share of the node's pictures with the correct leaf and with the correct gender.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from cascade.bundle import SHIPPED
from cascade.classifier import Cascade
from cascade.data.dataset import decode_items, read_labelled
from cascade.evaluation.predictions import all_logits
from cascade.evaluation.tables import percent
from cascade.taxonomy import Taxonomy
from rendering.text import markdown_table

Change = Callable[[Image.Image], Image.Image]
WHITE = (255, 255, 255)


def placed(scale: float = 1.0, right: float = 0.0, down: float = 0.0) -> Change:
    """Scale about the centre and shift by shares of the sides; fill with white."""

    def change(picture: Image.Image) -> Image.Image:
        width, height = picture.size
        x = width / 2 - (width / 2 + right * width) / scale
        y = height / 2 - (height / 2 + down * height) / scale
        return picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            (1 / scale, 0, x, 0, 1 / scale, y),
            resample=Image.Resampling.BILINEAR,
            fillcolor=WHITE,
        )

    return change


def blurred(picture: Image.Image) -> Image.Image:
    small = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BILINEAR)
    return small.resize(picture.size, Image.Resampling.BICUBIC)


CHANGES: Mapping[str, Change] = {
    "unchanged": lambda picture: picture,
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "without colour": lambda picture: ImageEnhance.Color(picture).enhance(0),
    "a tenth darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.9),
    "at half the resolution": blurred,
    "0.85 times as large": placed(scale=0.85),
    "1.15 times as large": placed(scale=1.15),
    "a twentieth to the right": placed(right=0.05),
    "a twentieth down": placed(down=0.05),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--node", default="shoes")
    arguments = parser.parse_args()
    cascades = [Cascade.load(folder) for folder in arguments.bundles or [SHIPPED]]
    split = arguments.split if arguments.pictures.is_file() else None
    items = [
        item
        for item in read_labelled(arguments.pictures, Taxonomy.load(), split)
        if item.label.startswith(f"{arguments.node}/") and "?" not in item.label
    ]
    sets = [decode_items(items, cascade.preprocessing) for cascade in cascades]
    labels = [item.label for item in sets[0].items]
    names = [f"{part} {cascade.version[:4]}" for cascade in cascades for part in ("leaf", "gender")]
    rows = []
    for name, change in CHANGES.items():
        row = [name]
        for cascade, pictures in zip(cascades, sets, strict=True):
            changed = [np.asarray(change(Image.fromarray(pixels))) for pixels in pictures.pixels]
            row += shares(cascade, np.stack(changed), arguments.node, labels)
        rows.append(row)
    print(f"{len(labels)} pictures below {arguments.node}\n")
    print(markdown_table(("the picture", *names), rows))


def shares(cascade: Cascade, pixels: np.ndarray, node: str, labels: Sequence[str]) -> list[str]:
    """The shares with the correct leaf and the correct gender, by the node's own decision."""
    routing = cascade.routing
    decision = next(each for each in routing.decisions if each.node == node)
    chosen = all_logits(cascade, pixels)[:, routing.decisions.columns_of(decision)].argmax(axis=1)
    answers = [decision.outcomes[number] for number in chosen]
    leaf = np.mean([a == b for a, b in zip(answers, labels, strict=True)])
    genders = [[label.split("/")[1] for label in both] for both in (answers, labels)]
    gender = np.mean([a == b for a, b in zip(*genders, strict=True)])
    return [percent(float(leaf)), percent(float(gender))]


if __name__ == "__main__":
    main()
