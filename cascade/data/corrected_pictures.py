"""Labels that people gave to pictures of a catalogue, as training pictures.

They keep the group rule: what belongs together, by the catalogue's product or by likeness, lies in
one split, also across the pictures that they are added to.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cascade.data.dataset import Pictures
from cascade.data.near_duplicates import (
    check_leaks,
    merged_groups,
    near_duplicate_groups,
    split_by_group,
)
from cascade.data.prepare import OUT_OF_SCOPE, DatasetSplits, check_splits, split_pictures
from cascade.errors import DatasetError
from cascade.taxonomy import Taxonomy

log = logging.getLogger(__name__)

CORRECTIONS = "corrections"  # their source, in weights, figures and on the model card


@dataclass(frozen=True)
class CorrectionCounts:
    """What became of corrections that were added to other pictures.

    `held_out` are alike a picture of validation or test, or of one product with such a picture.
    `replaced` are training pictures with the very pixels of a correction, whose label now counts.
    """

    trained: int
    held_out: int
    replaced: int


def taxonomy_of_labels(labels: Sequence[str]) -> Taxonomy:
    """The tree that these labels span; one that is a part of another is no leaf of it."""
    found = set(labels)
    inner = {label for label in found if any(other.startswith(f"{label}/") for other in found)}
    outside = OUT_OF_SCOPE if OUT_OF_SCOPE in found else None
    return Taxonomy.from_labels(sorted(found - inner), outside)


def prepare_corrections(corrections: Pictures, taxonomy: Taxonomy, seed: int) -> DatasetSplits:
    """Corrections alone, in three splits by group.

    A label that stops above the leaves and has too few groups to be split is trained on.

    Raises:
        DatasetError: a leaf with too few groups, with the numbers.
    """
    groups = merged_groups(
        near_duplicate_groups(corrections.pixels), [item.group for item in corrections.items]
    )
    items = [
        replace(item, group=group, split=None, source=CORRECTIONS)
        for item, group in zip(corrections.items, groups, strict=True)
    ]
    inner = frozenset(item.label for item in items) - frozenset(taxonomy.leaves)
    items = split_by_group(items, seed, train_if_few=inner)
    check_leaks(items)
    check_splits(items)
    return split_pictures(replace(corrections, items=tuple(items)))


def with_corrections(
    prepared: DatasetSplits, corrections: Pictures
) -> tuple[DatasetSplits, CorrectionCounts]:
    """Add corrections to the training pictures; validation and test stay what they are.

    Raises:
        DatasetError: every correction is alike a picture of validation or test.
    """
    judged = Pictures(
        prepared.validation.items + prepared.test.items,
        np.concatenate([prepared.validation.pixels, prepared.test.pixels]),
    )
    likeness = near_duplicate_groups(np.concatenate([judged.pixels, corrections.pixels]))
    given = [""] * len(judged) + [item.group for item in corrections.items]
    groups = merged_groups(likeness, given)
    taken, mine = set(groups[: len(judged)]), groups[len(judged) :]
    rows = [number for number, group in enumerate(mine) if group not in taken]
    if not rows:
        raise DatasetError(
            f"each of {len(corrections)} corrections is alike a picture of validation or test, so "
            "none can be trained on: correct other pictures, or train on corrections alone"
        )
    items = tuple(
        replace(corrections.items[n], group=mine[n], split="train", source=CORRECTIONS)
        for n in rows
    )
    pixels = corrections.pixels[rows]
    kept = _unlike(prepared.train, pixels)
    train = Pictures(
        tuple(prepared.train.items[n] for n in kept) + items,
        np.concatenate([prepared.train.pixels[kept], pixels]),
    )
    added = CorrectionCounts(len(rows), len(mine) - len(rows), len(prepared.train) - len(kept))
    return replace(prepared, train=train), added


def _unlike(train: Pictures, pixels: np.ndarray) -> list[int]:
    """The rows of `train` whose pixels are not among `pixels`: a person's label is the later one.

    A picture that is only alike keeps its label; it may be another view or colour.
    """
    known = {picture.tobytes() for picture in pixels}
    return [n for n, picture in enumerate(train.pixels) if picture.tobytes() not in known]
