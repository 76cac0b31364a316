"""Labels that are likely wrong: planted errors are found by heads that did not see them."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.adaptation.suspects import out_of_fold_logits, ranked
from cascade.data.dataset import Item, targets
from cascade.errors import DatasetError
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car", "none"], "none")
DECISIONS = TREE.decisions()
ROUTING = Routing(TREE, DECISIONS)


def clouds(count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Features around a centre for each leaf, and the leaves."""
    random = np.random.default_rng(seed)
    leaf = random.integers(0, len(TREE.leaves), count)
    centres = np.random.default_rng(0).normal(0, 2, (len(TREE.leaves), 20))
    values = centres[leaf] + random.normal(size=(count, 20))
    return values.astype(np.float32), [TREE.leaves[number] for number in leaf]


def suspected(
    values: np.ndarray, labels: list[str], groups: list[str], least_margin: float = 0.0
) -> list[tuple[int, str]]:
    fits = targets([Item("", label) for label in labels], DECISIONS, TREE)
    logits = out_of_fold_logits(values, fits, groups, DECISIONS)
    return [
        (e.row, e.suggested) for e in ranked(ROUTING, logits, labels, least_margin=least_margin)
    ]


def test_planted_errors_come_first_with_the_right_suggestion() -> None:
    values, truth = clouds(500, 1)
    labels = list(truth)
    for row in range(0, 500, 25):  # 4 %
        labels[row] = TREE.leaves[(TREE.leaves.index(truth[row]) + 1) % len(TREE.leaves)]
    found = suspected(values, labels, [str(row) for row in range(500)])
    first = dict(found[:20])
    assert len(set(first) & set(range(0, 500, 25))) >= 18
    assert all(first[row] == truth[row] for row in set(first) & set(range(0, 500, 25)))


def test_copies_of_a_wrong_label_do_not_vouch_for_it() -> None:
    values, truth = clouds(300, 2)
    labels = list(truth)
    wrong = TREE.leaves[(TREE.leaves.index(truth[0]) + 1) % len(TREE.leaves)]
    values = np.concatenate([values, np.repeat(values[:1], 30, axis=0)])
    labels = [wrong, *labels[1:], *[wrong] * 30]
    groups = ["product", *map(str, range(1, 300)), *["product"] * 30]
    copies = {row for row, _ in suspected(values, labels, groups)}
    assert {0, *range(300, 330)} <= copies
    alone = [str(row) for row in range(330)]  # copies in other folds are fitted to
    assert 0 not in {row for row, _ in suspected(values, labels, alone)}


def test_a_label_of_an_inner_node_has_the_probability_of_its_leaves() -> None:
    shares = np.array([[0.45, 0.35, 0.1, 0.06, 0.04]])  # in the order of the leaves below
    leaves = ["pets/cat", "pets/dog", "toys/ball", "toys/car", "none"]
    logits = np.zeros((1, DECISIONS.width), np.float32)
    for decision, columns in DECISIONS.with_columns():
        for place, outcome in enumerate(decision.outcomes):
            share = sum(
                s
                for s, leaf in zip(shares[0], leaves, strict=True)
                if (leaf + "/").startswith(outcome + "/")
            )
            logits[0, columns.start + place] = np.log(share)
    (found,) = ranked(ROUTING, logits, ["pets"], least_margin=2)
    assert found.confidence == pytest.approx(0.8, abs=1e-5)
    assert found.suggested == "toys/ball"
    assert found.margin == pytest.approx(0.7, abs=1e-5)
    assert ranked(ROUTING, logits, ["pets"]) == []
    (found,) = ranked(ROUTING, logits, ["pets/dog"])
    assert (found.suggested, found.margin) == ("pets/cat", pytest.approx(-0.1, abs=1e-5))


def test_too_few_products_are_refused() -> None:
    values, labels = clouds(50, 3)
    with pytest.raises(DatasetError, match="at least 10 different products"):
        suspected(values, labels, ["one", "two"] * 25)
