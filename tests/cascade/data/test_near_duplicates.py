"""Groups and splits, on generated pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cascade.data.dataset import Item
from cascade.data.near_duplicates import check_leaks, near_duplicate_groups, split_by_group
from cascade.errors import DatasetError


def article(seed: int) -> Image.Image:
    """A drawing of a few shapes on white; another seed, another article."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (90, 120), "white")
    pen = ImageDraw.Draw(picture)
    for _ in range(4):
        x, y = random.integers(5, 60), random.integers(5, 80)
        shade = tuple(int(v) for v in random.integers(0, 200, 3))
        pen.ellipse((x, y, x + random.integers(15, 30), y + random.integers(15, 40)), fill=shade)
    return picture


def noisy(picture: Image.Image, seed: int) -> np.ndarray:
    """As after another pass through an encoder."""
    noise = np.random.default_rng(seed).normal(0, 3, (120, 90, 3))
    return np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)


def test_only_near_duplicates_share_a_group() -> None:
    pixels = [np.asarray(article(seed)) for seed in range(12)]
    pixels += [noisy(article(seed), seed) for seed in range(12)]
    small = article(3).resize((60, 80)).resize((90, 120))
    pixels += [pixels[5].copy(), np.asarray(small)]
    groups = near_duplicate_groups(np.stack(pixels))
    assert groups[12:24] == groups[:12]
    assert len(set(groups[:12])) == 12
    assert groups[24] == groups[5]
    assert groups[25] == groups[3]


def test_pictures_with_the_same_outline_and_other_colours_are_not_grouped() -> None:
    dark, light = np.full((120, 90, 3), 255, np.uint8), np.full((120, 90, 3), 255, np.uint8)
    dark[40:80, 20:70], light[40:80, 20:70] = (10, 10, 10), (120, 160, 200)
    assert len(set(near_duplicate_groups(np.stack([dark, light])))) == 2


def items(counts: dict[str, list[int]]) -> list[Item]:
    """For each label, groups of so many pictures."""
    return [
        Item(f"{label}-{group}-{number}", label, group=f"{label}-{group}")
        for label, sizes in counts.items()
        for group, size in enumerate(sizes)
        for number in range(size)
    ]


def test_groups_are_not_divided_and_every_split_has_every_label() -> None:
    given = items({"a": [5, 1, 1, 2, 7, 3, 1, 1, 4, 2], "b": [2, 2, 2], "c": [1] * 40})
    split = split_by_group(given, seed=4)
    assert [replace(item, split=None) for item in split] == given
    check_leaks(split)
    for label in "abc":
        found = Counter(item.split for item in split if item.label == label)
        assert set(found) == {"train", "validation", "test"}
    shares = Counter(item.split for item in split if item.label == "c")
    assert shares == {"train": 28, "validation": 6, "test": 6}
    assert split == split_by_group(given, seed=4)
    assert split != split_by_group(given, seed=5)


@pytest.mark.parametrize(
    "sizes",
    [
        [100, *[1] * 20],  # one article in many colours
        [60, 10, 10, 10, 10],
        [100, 1, 1],
        [98, 1, 1, 1],
        [1] * 7,
        [5, 1, 1, 2, 7, 3, 1, 1, 4, 2],
    ],
)
def test_a_large_group_does_not_starve_training(sizes: list[int]) -> None:
    """Each split has a picture, and training more than half, whatever the seed."""
    for seed in range(200):
        found = Counter(item.split for item in split_by_group(items({"a": sizes}), seed))
        assert set(found) == {"train", "validation", "test"}
        assert found["train"] > sum(sizes) / 2


@pytest.mark.parametrize("sizes", [[1] * 40, [1] * 10, [9] * 12, [2, 2, 2]])
def test_even_groups_are_split_as_they_were(sizes: list[int]) -> None:
    """What version 0.1.0 made of them: the last groups of a permutation, until a share is full."""
    for seed in range(20):
        order = np.random.default_rng((seed, 0)).permutation(len(sizes))
        names, wanted = [f"a-{group}" for group in sorted(map(str, range(len(sizes))))], {}
        left = [names[number] for number in order]
        for split in ("validation", "test"):
            taken = 0.0
            while taken < 0.15 * sum(sizes):
                wanted[left.pop()], taken = split, taken + sizes[0]
        for item in split_by_group(items({"a": sizes}), seed):
            assert item.split == wanted.get(item.group, "train")


def test_too_few_groups_are_refused_with_the_numbers() -> None:
    with pytest.raises(DatasetError, match=r"b: 2 \(9 pictures\).*at least 3"):
        split_by_group(items({"a": [1, 1, 1], "b": [4, 5]}), seed=1)


def test_a_group_in_two_splits_is_refused_and_named() -> None:
    leaking = [
        Item("one.jpg", "a", "train", group="g7"),
        Item("two.jpg", "a", "test", group="g7"),
        Item("three.jpg", "a", "test", group=""),
    ]
    with pytest.raises(DatasetError, match=r"'g7'.*one\.jpg is in train, two\.jpg in test"):
        check_leaks(leaking)
    check_leaks([*leaking[1:], Item("four.jpg", "a", "train", group="")])
