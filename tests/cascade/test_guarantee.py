"""Guaranteed thresholds, on answers whose probabilities are lies and whose truth is known."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from cascade.errors import DatasetError
from cascade.guarantee import guaranteed, halves, with_strictness
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy

TREE = Taxonomy.from_labels(["cat", "dog", "none"], "none")
ROUTING = Routing(TREE, TREE.decisions(), thresholds={"cat": 0.6, "dog": 0.6, "none": 0.6})


def drawn(count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Logits of 0 to 8 for the best outcome; right in 90 % below 4, and in 98.5 % above."""
    random = np.random.default_rng(seed)
    lead = random.uniform(0.5, 8, count)
    best = random.integers(0, 3, count)
    logits = np.zeros((count, 3))
    logits[np.arange(count), best] = lead
    right = random.random(count) < np.where(lead < 4, 0.90, 0.985)
    truth = np.where(right, best, (best + 1) % 3)
    (decision,) = TREE.decisions()
    return logits, [decision.outcomes[number] for number in truth]


def sure_and_right(routing: Routing, count: int = 10_000) -> float:
    logits, labels = drawn(count, 99)
    found = [
        own.label == label
        for own, label in zip(routing.label(logits), labels, strict=True)
        if not own.needs_review
    ]
    return sum(found) / len(found)


def test_thresholds_keep_the_precision() -> None:
    """Each of 8 trials may break it with a probability of 5 %; 3 or more do in 0.6 % of cases."""
    assert sure_and_right(ROUTING) < 0.96
    made = []
    for seed in range(8):
        with suppress(DatasetError):
            made.append(guaranteed(ROUTING, drawn(400, seed), drawn(800, 100 + seed), 0.97, 0.95))
    assert len(made) >= 2
    steps = {each.strictness for each in made}
    true = {step: sure_and_right(with_strictness(ROUTING, step)) for step in steps}
    assert sum(true[each.strictness] < 0.97 for each in made) <= 2


def test_too_few_pictures_guarantee_nothing() -> None:
    with pytest.raises(DatasetError, match="149 sure labels without a mistake"):
        guaranteed(ROUTING, drawn(600, 1), drawn(100, 2), 0.98, 0.95)


def test_halves_share_no_product_and_test_each_once() -> None:
    labels = ["cat"] * 90 + ["?"] * 10
    groups = [f"product {row // 3}" for row in range(90)] + [""] * 10
    learn, test = halves(labels, groups, 1)
    assert not {groups[row] for row in learn} & {groups[row] for row in test}
    tested = [groups[row] for row in test]
    assert len(set(tested)) == len(tested) > 5
    assert all(labels[row] != "?" for row in test)
    again, _ = halves(labels, groups, 1)
    assert (again == learn).all()
