"""Adds pictures whose labels people corrected in the catalogue to the training pictures.

The rule of groups holds: pictures of one product and near duplicates are in the same split, also
across the pictures that the corrections are added to.
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

CORRECTIONS = "corrections"  # the source of these pictures in figures and on the model card


@dataclass(frozen=True)
class CorrectionCounts:
    """What happened to corrections that were added to other pictures.

    Attributes:
        trained: Corrections added to the training pictures.
        held_out: Corrections left out, because they are near duplicates of a validation or test
            picture, or of the same product.
        replaced: Training pictures replaced by a correction with identical pixels.
    """

    trained: int
    held_out: int
    replaced: int


def taxonomy_of_labels(labels: Sequence[str]) -> Taxonomy:
    """The tree of these labels. A label that is the beginning of another is an inner node."""
    found = set(labels)
    inner = {label for label in found if any(other.startswith(f"{label}/") for other in found)}
    outside = OUT_OF_SCOPE if OUT_OF_SCOPE in found else None
    return Taxonomy.from_labels(sorted(found - inner), outside)


def prepare_corrections(corrections: Pictures, taxonomy: Taxonomy, seed: int) -> DatasetSplits:
    """Split corrections by group, for training on corrections alone.

    If an inner node has too few groups to be split, its pictures go to the training split.

    Raises:
        DatasetError: A leaf has too few groups; the message has the numbers.
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
    """Add corrections to the training pictures. Validation and test stay unchanged.

    Raises:
        DatasetError: Every correction is a near duplicate of a validation or test picture.
    """
    held_out = Pictures(
        prepared.validation.items + prepared.test.items,
        np.concatenate([prepared.validation.pixels, prepared.test.pixels]),
    )
    duplicates = near_duplicate_groups(np.concatenate([held_out.pixels, corrections.pixels]))
    given = [""] * len(held_out) + [item.group for item in corrections.items]
    groups = merged_groups(duplicates, given)
    taken, own = set(groups[: len(held_out)]), groups[len(held_out) :]
    rows = [number for number, group in enumerate(own) if group not in taken]
    if not rows:
        raise DatasetError(
            f"each of {len(corrections)} corrections is a near duplicate of a validation or test "
            "picture, so none can be trained on: correct other pictures, or train on corrections "
            "alone"
        )
    items = tuple(
        replace(corrections.items[n], group=own[n], split="train", source=CORRECTIONS) for n in rows
    )
    pixels = corrections.pixels[rows]
    kept = _without_pixels(prepared.train, pixels)
    train = Pictures(
        tuple(prepared.train.items[n] for n in kept) + items,
        np.concatenate([prepared.train.pixels[kept], pixels]),
    )
    added = CorrectionCounts(len(rows), len(own) - len(rows), len(prepared.train) - len(kept))
    return replace(prepared, train=train), added


def _without_pixels(train: Pictures, pixels: np.ndarray) -> list[int]:
    """The rows of ``train`` whose pixels are not in ``pixels``: the correction replaces the others.

    A near duplicate keeps its label, because it may be another view or colour.
    """
    known = {picture.tobytes() for picture in pixels}
    return [n for n, picture in enumerate(train.pixels) if picture.tobytes() not in known]
