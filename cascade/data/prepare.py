"""Loads a labelled folder, manifest or ``.npz`` file as decoded pictures in three splits."""

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
    has_picture_content,
    read_labelled_folder,
    read_labelled_manifest,
    without_sources,
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

OUT_OF_SCOPE = "out_of_scope"  # the folder that means "none of these"


@dataclass(frozen=True)
class DatasetSplits:
    """Decoded pictures by split. All pictures of a group are in the same split."""

    train: Pictures
    validation: Pictures
    test: Pictures


def taxonomy_of_folders(folder: Path) -> Taxonomy:
    """The tree of a folder of labels. Folders named like splits are not part of a label.

    A folder is a label only if there is a picture in it.
    """
    roots = [folder / split for split in SPLITS if (folder / split).is_dir()] or [folder]
    labels = set[str]()
    for item in (item for root in roots for item in read_labelled_folder(root, None)):
        if item.label not in labels and has_picture_content(Path(item.path)):
            labels.add(item.label)
    outside = {label for label in labels if label.split("/")[0] == OUT_OF_SCOPE}
    tree = Taxonomy.from_labels(sorted(labels - outside), OUT_OF_SCOPE if outside else None)
    if len(tree.decisions()) == 1:
        log.warning(
            "%s: no folder holds folders, so a label that is not sure cannot stop earlier; put "
            "them into one folder (toys/ball, toys/car), and it stops there",
            folder,
        )
    return tree


def prepare(
    source: Path,
    taxonomy: Taxonomy,
    preprocessing: Preprocessing,
    seed: int,
    *,
    encoding: str | None = None,
    without: Sequence[str] = (),
) -> DatasetSplits:
    """Read, decode, group and split labelled pictures.

    Given groups and splits are kept. Missing groups are groups of near duplicates; missing splits
    are made by group.

    Args:
        source: A manifest (CSV), a ``.npz`` file, a folder of labels, or a folder with the folders
            ``train``, ``validation`` and ``test`` of labels.
        taxonomy: The tree of the labels.
        preprocessing: How pictures are decoded.
        seed: Of the splits.
        encoding: Of a manifest, see `tabular.lines.text_lines`.
        without: Patterns of the sources of a manifest to leave out, see ``without_sources``.

    Raises:
        DatasetError: A group is in two splits, or a label has too few groups.
    """
    pictures = _read(source, taxonomy, preprocessing, encoding, without)
    items = pictures.items
    if not any(item.group for item in items):
        log.info("looking for near duplicates among %d pictures", len(items))
        groups = near_duplicate_groups(pictures.pixels)
        items = tuple(replace(item, group=group) for item, group in zip(items, groups, strict=True))
        log.info("%d groups", len(set(groups)))
    if any(item.split is None for item in items):
        if any(item.split for item in items):
            raise DatasetError(
                f"{source}: some lines have a split and some have none; give all a split, or none"
            )
        items = tuple(split_by_group(items, seed))
    check_leaks(items)
    check_splits(items)
    for label, number in counts(items).items():
        log.info("%6d %s", number, label)
    return split_pictures(replace(pictures, items=items))


def with_drawings(
    train: Pictures, taxonomy: Taxonomy, preprocessing: Preprocessing, folder: Path, per_leaf: int
) -> Pictures:
    """Add ``per_leaf`` drawings of each leaf, with the source ``DRAWINGS``."""
    from cascade.drawings import LEAVES, write_sample_crawl

    if not set(LEAVES) <= set(taxonomy.leaves):
        raise DatasetError(
            "drawings exist only for the leaves of the shipped taxonomy; leave --drawings out"
        )
    # not the seed of the sample crawl: its pictures are never used for training
    write_sample_crawl(folder, per_leaf, seed=7, junk=False, labelled=True)
    drawn = decode_items(drawn_items(folder, taxonomy, "train"), preprocessing)
    log.info("%d %s", len(drawn), DRAWINGS)
    return Pictures(train.items + drawn.items, np.concatenate([train.pixels, drawn.pixels]))


def _read(
    source: Path,
    taxonomy: Taxonomy,
    preprocessing: Preprocessing,
    encoding: str | None,
    without: Sequence[str],
) -> Pictures:
    if source.suffix.lower() == ".npz":
        return read_npz(source, taxonomy, preprocessing)
    if source.is_file():
        items = without_sources(read_labelled_manifest(source, taxonomy, encoding), without)
        return decode_items(items, preprocessing)
    if without:
        raise DatasetError(f"{source}: only a manifest has sources to leave out")
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
    """Raise ``DatasetError`` if there is no picture to train on or to validate with."""
    found = {item.split for item in items}
    missing = [split for split in ("train", "validation") if split not in found]
    if missing:
        raise DatasetError(
            f"no picture in {' and '.join(missing)}: give each of {', '.join(SPLITS)} some, or "
            f"give no splits at all and at least {MIN_GROUPS} groups of each label"
        )


def split_pictures(pictures: Pictures) -> DatasetSplits:
    """Divide pictures by the split of their items."""
    named = np.array([item.split for item in pictures.items])
    return DatasetSplits(*(pictures.subset(named == split) for split in SPLITS))
