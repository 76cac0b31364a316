"""From what a person has (a folder, a manifest, an array file) to pictures in three splits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cascade.data.dataset import (
    DRAWINGS,
    SPLITS,
    Item,
    Pictures,
    counts,
    decode_items,
    drawn_items,
    read_labelled_folder,
    read_labelled_manifest,
)
from cascade.data.near_duplicates import (
    MIN_GROUPS,
    check_leaks,
    near_duplicate_groups,
    split_by_group,
)
from cascade.data.npz import read_npz
from cascade.errors import DatasetError
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy

log = logging.getLogger(__name__)

OUT_OF_SCOPE = "out_of_scope"  # the folder that means "none of these" in a tree made of folders


@dataclass(frozen=True)
class DatasetSplits:
    """Decoded pictures by split, each group in one of them."""

    train: Pictures
    validation: Pictures
    test: Pictures


def taxonomy_of_folders(folder: Path) -> Taxonomy:
    """The tree that a folder of folders is; its splits, if it has them, are no labels."""
    roots = [folder / split for split in SPLITS if (folder / split).is_dir()] or [folder]
    labels = {item.label for root in roots for item in read_labelled_folder(root, None)}
    outside = {label for label in labels if label.split("/")[0] == OUT_OF_SCOPE}
    return Taxonomy.from_labels(sorted(labels - outside), OUT_OF_SCOPE if outside else None)


def prepare(
    source: Path, taxonomy: Taxonomy, preprocessing: Preprocessing, seed: int
) -> DatasetSplits:
    """Read, decode, group and split labelled pictures.

    ``source`` is a manifest CSV, a ``.npz``, or a folder: of labels, or of the folders ``train``,
    ``validation`` and ``test`` with labels in them. Splits and groups that are given are kept;
    groups that are not are found by likeness, splits that are not are made by group. Raises
    ``DatasetError`` for a group in two splits, or a label with too few groups.
    """
    pictures = _read(source, taxonomy, preprocessing)
    items = pictures.items
    if not any(item.group for item in items):
        log.info("looking for nearly identical pictures among %d", len(items))
        groups = near_duplicate_groups(pictures.pixels)
        items = tuple(replace(item, group=group) for item, group in zip(items, groups, strict=True))
        log.info("%d groups", len(set(groups)))
    if any(item.split is None for item in items):
        if any(item.split for item in items):
            raise DatasetError(f"{source}: some lines have a split and some have none")
        items = tuple(split_by_group(items, seed))
    check_leaks(items)
    check_splits(items)
    for label, number in counts(items).items():
        log.info("%6d %s", number, label)
    return split_pictures(replace(pictures, items=items))


def with_drawings(
    train: Pictures, taxonomy: Taxonomy, preprocessing: Preprocessing, folder: Path, per_leaf: int
) -> Pictures:
    """The pictures and ``per_leaf`` drawings of each leaf, as a source of their own."""
    from cascade.drawings import LEAVES, write_sample_crawl

    if not set(LEAVES) <= set(taxonomy.leaves):
        raise DatasetError("there are drawings of the shipped tree's leaves only: no --drawings")
    # another seed than that of the sample crawl: what is shown to people is never trained on
    write_sample_crawl(folder, per_leaf, seed=7, junk=False, labelled=True)
    drawn = decode_items(drawn_items(folder, taxonomy, "train"), preprocessing)
    log.info("%d %s", len(drawn), DRAWINGS)
    return Pictures(train.items + drawn.items, np.concatenate([train.pixels, drawn.pixels]))


def _read(source: Path, taxonomy: Taxonomy, preprocessing: Preprocessing) -> Pictures:
    if source.suffix.lower() == ".npz":
        return read_npz(source, taxonomy, preprocessing)
    if source.is_file():
        return decode_items(read_labelled_manifest(source, taxonomy), preprocessing)
    if (source / "train").is_dir():
        items = [
            item
            for split in SPLITS
            if (source / split).is_dir()
            for item in read_labelled_folder(source / split, taxonomy, split)
        ]
        return decode_items(items, preprocessing)
    return decode_items(read_labelled_folder(source, taxonomy), preprocessing)


def check_splits(items: Sequence[Item]) -> None:
    """Given splits must hold what training cannot do without."""
    found = {item.split for item in items}
    missing = [split for split in ("train", "validation") if split not in found]
    if missing:
        raise DatasetError(
            f"no picture in {' and '.join(missing)}: give each of {', '.join(SPLITS)} some, or "
            f"give no splits at all and at least {MIN_GROUPS} groups of each label"
        )


def split_pictures(pictures: Pictures) -> DatasetSplits:
    """Pictures whose items name their split, apart."""
    named = np.array([item.split for item in pictures.items])
    return DatasetSplits(*(pictures.subset(named == split) for split in SPLITS))
