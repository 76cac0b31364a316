"""Corrections as training pictures: the rule of groups holds, also across other pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cascade.data.corrected_pictures import (
    CORRECTIONS,
    CorrectionCounts,
    prepare_corrections,
    taxonomy_of_labels,
    with_corrections,
)
from cascade.data.dataset import Item, Pictures
from cascade.data.near_duplicates import merged_groups
from cascade.data.prepare import DatasetSplits
from cascade.errors import DatasetError
from cascade.taxonomy import Taxonomy

from .test_near_duplicates import article, noisy

TREE = Taxonomy.load()
BOOTS, OPTICAL = "shoes/male/boots", "glasses/optical"


def pictures(*made: tuple[np.ndarray, Item]) -> Pictures:
    return Pictures(tuple(item for _, item in made), np.stack([pixels for pixels, _ in made]))


def plain(seed: int) -> np.ndarray:
    return np.asarray(article(seed))


def test_groups_that_share_a_picture_are_merged() -> None:
    likeness = ["a", "a", "b", "c", "d"]
    products = ["", "p", "p", "", ""]
    first, second, third, fourth, fifth = merged_groups(likeness, products)
    assert first == second == third
    assert len({first, fourth, fifth}) == 3


def test_near_duplicate_of_a_validation_or_test_picture_is_not_trained_on() -> None:
    train = pictures(
        (plain(1), Item("t1", OPTICAL, "train", "shop", "g1")),
        (plain(2), Item("t2", OPTICAL, "train", "shop", "g2")),
    )
    validation = pictures((plain(3), Item("v", BOOTS, "validation", "shop", "g3")))
    test = pictures((plain(4), Item("e", BOOTS, "test", "shop", "g4")))
    corrections = pictures(
        (noisy(article(3), 7), Item("alike validation", BOOTS)),
        (noisy(article(4), 7), Item("alike test", BOOTS, group="product 9")),
        (plain(50), Item("of one product with it", BOOTS, group="product 9")),
        (plain(1), Item("corrected", BOOTS)),
        (noisy(article(2), 7), Item("alike train", BOOTS)),
        (plain(60), Item("new", BOOTS, group="product 10")),
    )
    before = DatasetSplits(train, validation, test)
    after, added = with_corrections(before, corrections)
    assert (after.validation, after.test) == (validation, test)
    assert [item.path for item in after.train.items] == ["t2", "corrected", "alike train", "new"]
    assert [item.source for item in after.train.items] == ["shop", *[CORRECTIONS] * 3]
    assert {item.split for item in after.train.items} == {"train"}
    assert np.array_equal(after.train.pixels[1], plain(1))
    assert added == CorrectionCounts(trained=3, held_out=3, replaced=1)
    only_alike = pictures((plain(3), Item("alike validation", BOOTS)))
    with pytest.raises(DatasetError, match="each of 1 corrections is a near duplicate"):
        with_corrections(before, only_alike)


def many(labels: Sequence[str], each: int) -> list[tuple[np.ndarray, Item]]:
    return [
        (plain(100 * kind + number), Item(f"{label} {number}", label))
        for kind, label in enumerate(labels)
        for number in range(each)
    ]


def test_corrections_alone_are_split_by_group() -> None:
    made = many([BOOTS, OPTICAL], 12)
    made += [(noisy(article(n), n), Item(f"{BOOTS} {n} again", BOOTS)) for n in range(12)]
    made += [
        (plain(900), Item("one of 7", OPTICAL, group="product 7")),
        (plain(901), Item("two of 7", OPTICAL, group="product 7")),
        (plain(902), Item("stopped early", "shoes/male")),
    ]
    prepared = prepare_corrections(pictures(*made), TREE, seed=1)
    parts = (prepared.train, prepared.validation, prepared.test)
    assert sum(len(part) for part in parts) == 39
    split = {item.path: item.split for part in parts for item in part.items}
    assert all(split[f"{BOOTS} {n}"] == split[f"{BOOTS} {n} again"] for n in range(12))
    assert split["one of 7"] == split["two of 7"]
    assert split["stopped early"] == "train"
    for part in parts:
        assert {BOOTS, OPTICAL} <= {item.label for item in part.items}


def test_too_few_corrections_of_a_leaf_are_refused_with_the_numbers() -> None:
    made = [*many([BOOTS], 5), (plain(900), Item("alone", OPTICAL))]
    with pytest.raises(DatasetError, match=rf"{OPTICAL}: 1 \(1 pictures\)"):
        prepare_corrections(pictures(*made), TREE, seed=1)


def test_taxonomy_of_corrected_labels() -> None:
    tree = taxonomy_of_labels(["toys/car", "toys", "toys/ball", "out_of_scope"])
    assert tree.leaves == ("toys/ball", "toys/car", "out_of_scope")
    assert tree.out_of_scope == "out_of_scope"
