"""Finds groups of near duplicates and assigns whole groups to splits.

Colour variants, sizes and repeats of an article look alike. If some of them were used for training
and others for evaluation, the figures would be too good. So all pictures of a group are in the same
split.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from cascade.data.dataset import SPLITS, Item
from cascade.errors import DatasetError

HASH_SIDE = 16  # the hash has HASH_SIDE × HASH_SIDE bits
MIN_BRIGHTER = 4  # grey levels between neighbours; a smaller difference is encoder noise
MAX_DIFFERENT_BITS = 20  # of 256, for two near duplicates
# Largest mean difference of near duplicates, as a share of the content that is not white. A fixed
# limit would not do: thin glasses on white differ from other glasses by only a few levels.
MAX_CHANGED_SHARE = 0.15
NOISE_LEVELS = 1.0  # mean difference that is always allowed, for encoder noise
SPLIT_SHARES = {"validation": 0.15, "test": 0.15}
MAX_OF_SHARE = 1.5  # what a split may take of its share, so that training gets more than half
MIN_GROUPS = len(SPLITS)


def difference_hashes(pixels: np.ndarray) -> np.ndarray:
    """Difference hashes (dHash, Krawetz 2013) of pictures, 256 bits each.

    Each bit tells whether a pixel of the picture, shrunk to 17 × 16 grey pixels, is darker than its
    right neighbour.

    Args:
        pixels: ``(N, height, width, 3)`` uint8.

    Returns:
        ``(N, 4)`` uint64.
    """
    rows = np.zeros((len(pixels), HASH_SIDE * HASH_SIDE // 64), np.uint64)
    for number, picture in enumerate(pixels):
        grey = Image.fromarray(picture).convert("L")
        small = grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
        levels = np.asarray(small, np.int16)
        bits = levels[:, 1:] - levels[:, :-1] > MIN_BRIGHTER
        rows[number] = np.packbits(bits).view(np.uint64)
    return rows


def near_duplicate_groups(pixels: np.ndarray) -> list[str]:
    """The name of each picture's group of near duplicates.

    Hashes select candidate pairs, and the pixels decide. Two pictures with a common near duplicate
    are in the same group. All pairs are compared: 20,000 pictures take seconds.

    Args:
        pixels: ``(N, height, width, 3)`` uint8.
    """
    hashes = difference_hashes(pixels)
    parents = list(range(len(pixels)))
    for number in range(len(pixels) - 1):
        later = hashes[number + 1 :] ^ hashes[number]
        close = np.bitwise_count(later).sum(axis=1) <= MAX_DIFFERENT_BITS
        for other in np.flatnonzero(close) + number + 1:
            first, second = _root(parents, number), _root(parents, int(other))
            if first != second and _is_near_duplicate(pixels[number], pixels[other]):
                parents[max(first, second)] = min(first, second)
    return [f"alike-{_root(parents, number):06d}" for number in range(len(pixels))]


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number


def _is_near_duplicate(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the difference of two uint8 pictures is small relative to their content."""
    one, other = first.astype(np.int16), second.astype(np.int16)
    content = max(float((255 - one).mean()), float((255 - other).mean()))
    return float(np.abs(one - other).mean()) <= NOISE_LEVELS + MAX_CHANGED_SHARE * content


def merged_groups(*names: Sequence[str]) -> list[str]:
    """Merge several groupings of the same pictures into one.

    Pictures that share a name in any of the lists are in the same group, directly or through other
    pictures. The name '' means no group.
    """
    parents = list(range(len(names[0])))
    for each in names:
        first: dict[str, int] = {}
        for number, name in enumerate(each):
            one, other = _root(parents, number), _root(parents, first.setdefault(name, number))
            if name and one != other:
                parents[max(one, other)] = min(one, other)
    return [f"joined-{_root(parents, number):06d}" for number in range(len(parents))]


def split_by_group(
    items: Sequence[Item], seed: int, train_if_few: frozenset[str] = frozenset()
) -> list[Item]:
    """Assign whole groups to splits, label by label, in the shares of ``SPLIT_SHARES``.

    A group counts for the label that most of its pictures have. A group that is too large for
    validation and test goes to training.

    Args:
        items: The pictures; an item without a group is a group of one.
        seed: The same seed gives the same splits.
        train_if_few: Labels that go to the training split if they have too few groups to be split.

    Raises:
        DatasetError: Another label has fewer than ``MIN_GROUPS`` groups, so that one of the splits
            would have none. The message has the numbers.
    """
    members: dict[str, list[Item]] = defaultdict(list)
    for number, item in enumerate(items):
        members[item.group or f"alone-{number}"].append(item)
    by_label: dict[str, list[str]] = defaultdict(list)
    for group, its in sorted(members.items()):
        by_label[Counter(item.label for item in its).most_common(1)[0][0]].append(group)
    _check_enough({k: v for k, v in by_label.items() if k not in train_if_few}, members)
    split_of: dict[str, str] = {}
    for number, label in enumerate(sorted(by_label)):
        random = np.random.default_rng((seed, number))
        groups = [by_label[label][n] for n in random.permutation(len(by_label[label]))]
        sizes = {group: len(members[group]) for group in groups}
        split_of |= _divide(sizes) if len(groups) >= MIN_GROUPS else dict.fromkeys(groups, "train")
    return [
        replace(item, split=split_of[item.group or f"alone-{number}"])
        for number, item in enumerate(items)
    ]


def _divide(sizes: Mapping[str, int]) -> dict[str, str]:
    """The split of each group of one label; `sizes` are in random order, the last is taken first.

    Every split gets a group. A group with which a split would have more than `MAX_OF_SHARE` of its
    share is left for the others, at last for training.
    """
    split_of: dict[str, str] = {}
    left, total = list(sizes), sum(sizes.values())
    for later, (split, share) in zip((2, 1), SPLIT_SHARES.items(), strict=True):
        taken, wanted, too_large = 0, share * total, list[str]()
        while left and taken < wanted and len(left) + len(too_large) > later:
            group = left.pop()
            if taken + sizes[group] > MAX_OF_SHARE * wanted:
                too_large.append(group)
            else:
                split_of[group], taken = split, taken + sizes[group]
        left += reversed(too_large)
        if not taken:
            smallest = min(reversed(left), key=lambda group: sizes[group])
            left.remove(smallest)
            split_of[smallest] = split
    return split_of | dict.fromkeys(left, "train")


def _check_enough(by_label: Mapping[str, list[str]], members: Mapping[str, list[Item]]) -> None:
    few = [
        f"{label}: {len(groups)} ({sum(len(members[g]) for g in groups)} pictures)"
        for label, groups in sorted(by_label.items())
        if len(groups) < MIN_GROUPS
    ]
    if few:
        missing = sum(max(0, MIN_GROUPS - len(groups)) for groups in by_label.values())
        raise DatasetError(
            f"too few groups of pictures for {', '.join(few)}; each label needs at least "
            f"{MIN_GROUPS}, one for each of {', '.join(SPLITS)}; {missing} more are missing: "
            "add other articles (more views or sizes of the same article do not "
            "count), or leave the label out"
        )


def check_leaks(items: Sequence[Item]) -> None:
    """Raise ``DatasetError`` if a group is in more than one split. The message has an example."""
    first: dict[str, Item] = {}
    leaks: dict[str, tuple[Item, Item]] = {}
    for item in items:
        if not item.group:
            continue
        known = first.setdefault(item.group, item)
        if known.split != item.split:
            leaks.setdefault(item.group, (known, item))
    if leaks:
        group, (one, other) = next(iter(leaks.items()))
        raise DatasetError(
            f"{len(leaks)} group(s) lie in more than one split, so the figures would be too good; "
            f"for example group {group!r}: {one.path} is in {one.split}, {other.path} in "
            f"{other.split}: move each group into one split"
        )
