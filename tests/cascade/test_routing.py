"""From logits to labels, on numbers calculated by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cascade.routing import Routing
from cascade.taxonomy import Taxonomy

# a small tree: pets/{cat,dog}/{young,old}, toys/{car,ball}, none
TREE = Taxonomy.from_labels(
    ["pets/cat/young", "pets/cat/old", "pets/dog/young", "pets/dog/old", "toys/car", "toys/ball"]
    + ["none"],
    "none",
)


def logs(*probabilities: float) -> list[float]:
    """Logits whose softmax is these probabilities."""
    return [math.log(p) for p in probabilities]


# primary: pets .7, toys .2, none .1; pets: cat/old .5, cat/young .3, dog/old .15, dog/young .05
PETS = logs(0.7, 0.2, 0.1) + logs(0.5, 0.3, 0.15, 0.05) + logs(0.6, 0.4)


def route(row: list[float], **calibration: Any) -> Routing:
    return Routing(TREE, TREE.decisions(), **calibration)


def test_leaf_probabilities_are_products_down_the_tree_and_sum_to_one() -> None:
    found = route(PETS).leaf_probabilities(np.array([PETS]))
    by_leaf = dict(zip(TREE.leaves, found[0], strict=True))
    assert by_leaf["pets/cat/old"] == pytest.approx(0.35)
    assert by_leaf["pets/dog/young"] == pytest.approx(0.035)
    assert by_leaf["toys/ball"] == pytest.approx(0.2 * 0.6)
    assert by_leaf["none"] == pytest.approx(0.1)
    assert found.sum() == pytest.approx(1)


def test_without_thresholds_the_label_is_the_best_leaf() -> None:
    answer = route(PETS).label(np.array([PETS]))[0]
    assert answer.label == answer.best_leaf == "pets/cat/old"
    assert (answer.category, answer.type) == ("pets", "old")
    assert answer.category_confidence == pytest.approx(0.7)
    assert answer.type_confidence == answer.confidence == pytest.approx(0.35)
    # ahead of the next leaf by 0.35 - 0.21, of the next category by 0.35 - 0.2
    assert answer.margin == pytest.approx(0.14)
    assert not answer.needs_review


def test_label_is_the_deepest_node_that_reaches_its_threshold() -> None:
    thresholds = dict.fromkeys(TREE.leaves, 0.5) | {"pets/cat": 0.55, "pets/dog": 0.55}
    answer = route(PETS, thresholds=thresholds).label(np.array([PETS]))[0]
    assert answer.label == "pets/cat"  # 0.35 + 0.21 = 0.56
    assert answer.confidence == pytest.approx(0.56)
    assert answer.type is None
    assert answer.best_leaf == "pets/cat/old"
    assert answer.needs_review


def test_label_never_stops_above_the_category() -> None:
    thresholds = {node.path: 0.99 for node in TREE.nodes}
    answer = route(PETS, thresholds=thresholds).label(np.array([PETS]))[0]
    assert answer.label == "pets"
    assert answer.confidence == pytest.approx(0.7)
    assert answer.needs_review


def test_the_two_best_leaves_have_their_own_probabilities() -> None:
    answer = route(PETS).label(np.array([PETS]))[0]
    assert answer.best_leaf_confidence == pytest.approx(0.35)
    assert (answer.best_leaf, answer.second_leaf) == ("pets/cat/old", "pets/cat/young")
    assert answer.second_leaf_confidence == pytest.approx(0.21)
    assert list(answer.leaf_probabilities.items()) == [
        ("pets/cat/old", 0.35),
        ("pets/cat/young", 0.21),
        ("toys/ball", 0.12),
        ("pets/dog/old", 0.105),
        ("none", 0.1),
        ("toys/car", 0.08),
        ("pets/dog/young", 0.035),
    ]


def test_the_second_leaf_may_be_of_another_category_and_more_probable() -> None:
    row = logs(0.5, 0.1, 0.4) + logs(0.4, 0.3, 0.2, 0.1) + logs(0.5, 0.5)
    answer = route(row).label(np.array([row]))[0]
    assert (answer.best_leaf, answer.second_leaf) == ("pets/cat/old", "none")
    assert answer.best_leaf_confidence == pytest.approx(0.2)
    assert answer.second_leaf_confidence == pytest.approx(0.4)
    assert list(answer.leaf_probabilities)[:2] == ["none", "pets/cat/old"]


def test_leaves_below_one_in_a_thousand_are_left_out() -> None:
    row = logs(0.998, 0.001, 0.001) + logs(0.9992, 0.0003, 0.0003, 0.0002) + logs(0.5, 0.5)
    answer = route(row).label(np.array([row]))[0]
    assert answer.leaf_probabilities == {"pets/cat/old": 0.997, "none": 0.001}
    assert answer.second_leaf == "none"


def test_at_most_twenty_leaves_are_kept() -> None:
    tree = Taxonomy.from_labels([*(f"a/x/{n:02}" for n in range(30)), "none"], "none")
    share = np.arange(1, 31) / np.arange(1, 31).sum()
    row = logs(0.9, 0.1) + logs(*share)
    answer = Routing(tree, tree.decisions()).label(np.array([row]))[0]
    assert len(answer.leaf_probabilities) == 20
    assert list(answer.leaf_probabilities)[:3] == ["none", "a/x/29", "a/x/28"]
    assert (answer.best_leaf, answer.second_leaf) == ("a/x/29", "none")


def test_a_tree_with_one_leaf_has_no_second() -> None:
    tree = Taxonomy.from_labels(["bags/any", "none"], "none")
    row = logs(0.7, 0.3) + [0.0] * (tree.decisions().width - 2)
    answer = Routing(tree, tree.decisions()).label(np.array([row]))[0]
    assert (answer.best_leaf, answer.second_leaf) == ("bags/any", "none")


def test_out_of_scope_is_a_label_like_others() -> None:
    row = logs(0.1, 0.1, 0.8) + logs(0.25, 0.25, 0.25, 0.25) + logs(0.5, 0.5)
    answer = route(row).label(np.array([row]))[0]
    assert (answer.label, answer.category, answer.gender, answer.type) == (
        "none",
        "none",
        None,
        None,
    )
    assert answer.confidence == pytest.approx(0.8)


def test_a_temperature_of_two_takes_the_square_root_of_the_odds() -> None:
    row = logs(0.9, 0.05, 0.05) + logs(0.25, 0.25, 0.25, 0.25) + logs(0.8, 0.2)
    cool = route(row, temperatures={"toys": 2.0}).outcome_probabilities(np.array([row]))[0]
    assert cool[:3] == pytest.approx([0.9, 0.05, 0.05])
    assert cool[-2] / cool[-1] == pytest.approx(2.0)  # odds of 4 before


def test_huge_logits_do_not_overflow() -> None:
    row = [1e4, -1e4, 0] + [1e4, 0, 0, 0] + [0, 0]
    answer = route(row).label(np.array([row], np.float32))[0]
    assert answer.confidence == 1.0


def test_logits_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(N, 9\).*\(1, 8\)"):
        route(PETS).label(np.zeros((1, 8)))


def test_rows_do_not_depend_on_other_rows_of_the_batch() -> None:
    rows = np.random.default_rng(1).normal(0, 3, (50, 9))
    together = route(PETS).label(rows)
    order = np.random.default_rng(2).permutation(50)
    shuffled = route(PETS).label(rows[order])
    alone = [route(PETS).label(row[None])[0] for row in rows]
    assert together == alone
    assert [together[i] for i in order] == shuffled


def test_tree_distance_takes_the_deepest_node_above_one_half() -> None:
    # pets .7, pets/cat .56, pets/cat/old .35: below one half it pays no more
    answer = route(PETS, decoding="tree_distance").label(np.array([PETS]))[0]
    assert answer.label == "pets/cat"
    assert answer.best_leaf == "pets/cat/old"
    assert answer.needs_review  # not a leaf
    # pets .9, cat .81, cat/old .6 by its own
    row = logs(0.9, 0.05, 0.05) + logs(0.667, 0.233, 0.05, 0.05) + logs(0.5, 0.5)
    sure = route(row, decoding="tree_distance").label(np.array([row]))[0]
    assert sure.label == "pets/cat/old"
    assert not sure.needs_review


def test_an_unknown_decoding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"thresholds, tree_distance.*'greedy'"):
        route(PETS, decoding="greedy")
