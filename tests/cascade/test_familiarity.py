"""Familiar pictures: their logits lie where those of their best leaf lie."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cascade.errors import DatasetError
from cascade.familiarity import Familiarity, fit_familiarity
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car", "none"], "none")
DECISIONS = TREE.decisions()
WIDTH = DECISIONS.width


def around(count: int, seed: int, leaves: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits in a long, thin cloud around each leaf, and the leaves."""
    random = np.random.default_rng(seed)
    leaf = random.integers(0, leaves, count)
    centres = np.random.default_rng(0).normal(0, 8, (5, WIDTH))
    shape = np.diag([3.0] * 3 + [0.3] * (WIDTH - 3))
    return (centres[leaf] + random.normal(size=(count, WIDTH)) @ shape).astype(np.float32), leaf


def test_the_share_that_is_familiar_holds_on_other_pictures() -> None:
    found = fit_familiarity(*around(2000, 1), leaves=5, share=0.9)
    assert found.familiar(*around(2000, 2)).mean() == pytest.approx(0.9, abs=0.03)


def test_distance_is_measured_by_the_shape_of_the_cloud() -> None:
    logits, leaf = around(2000, 1)
    found = fit_familiarity(logits, leaf, leaves=5, share=0.95)
    near = np.zeros(WIDTH, np.float32)
    near[0], far = 3.0, np.zeros(WIDTH, np.float32)
    far[-1] = 3.0  # as far, where familiar pictures hardly differ
    centre = found.means[:1].astype(np.float32)
    best = np.zeros(1, int)
    assert found.familiar(centre + near, best).all()
    assert not found.familiar(centre + far, best).any()
    assert not found.familiar(centre, best + 1).any()  # it lies where another leaf is known


def test_a_leaf_with_few_pictures_is_never_familiar() -> None:
    logits, leaf = around(400, 1, leaves=4)
    leaf[:4] = 4
    found = fit_familiarity(logits, leaf, leaves=5, share=0.95)
    assert not found.familiar(logits[leaf == 4], leaf[leaf == 4]).any()
    assert np.isfinite(found.limit)


def test_distances_do_not_depend_on_other_pictures() -> None:
    logits, leaf = around(400, 1)
    found = fit_familiarity(logits, leaf, leaves=5, share=0.9)
    together = found.distances(logits, leaf)
    alone = [found.distances(logits[n : n + 1], leaf[n : n + 1])[0] for n in range(400)]
    assert together.tolist() == alone


def test_unfamiliar_pictures_need_a_review_and_keep_their_label() -> None:
    logits, _ = around(2000, 3)
    routing = Routing(TREE, DECISIONS)
    number = {name: place for place, name in enumerate(TREE.leaves)}
    best = np.array([number[each.best_leaf] for each in routing.label(logits)])
    familiarity = fit_familiarity(logits, best, 5, 0.9)
    shifted = logits.copy()
    shifted[:1000, -1] += 30
    cautious = Routing(TREE, DECISIONS, familiarity=familiarity)
    before, after = routing.label(shifted), cautious.label(shifted)
    assert [each.label for each in before] == [each.label for each in after]
    assert not any(each.needs_review for each in before)
    review = np.array([each.needs_review for each in after])
    assert review[:1000].mean() > 0.95
    assert review[1000:].mean() < 0.15


def test_it_is_the_same_after_writing_and_reading() -> None:
    logits, leaf = around(400, 1, leaves=4)
    found = fit_familiarity(logits, leaf, leaves=5, share=0.9)
    text = json.dumps(found.to_json(TREE.leaves))
    again = Familiarity.from_json(json.loads(text), TREE.leaves, WIDTH)
    assert again.distances(logits, leaf).tolist() == found.distances(logits, leaf).tolist()
    assert again.limit == found.limit


GOOD: dict[str, Any] = {"limit": 3.0, "means": {"none": [0.0] * WIDTH}}
SQUARE = [[0.0] * WIDTH] * WIDTH


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        GOOD,
        {**GOOD, "whitening": SQUARE[:-1]},
        {**GOOD, "whitening": [[1.0], [2.0, 3.0]]},
        {**GOOD, "whitening": SQUARE, "limit": "near"},
        {**GOOD, "whitening": SQUARE, "limit": 10**400},
        {**GOOD, "whitening": SQUARE, "limit": float("nan")},
        {**GOOD, "whitening": SQUARE, "means": {"none": [0.0]}},
        {**GOOD, "whitening": SQUARE, "means": {"none": None}},
        {**GOOD, "whitening": SQUARE, "means": []},
    ],
)
def test_anything_else_is_refused(content: Any) -> None:
    with pytest.raises(ValueError):
        Familiarity.from_json(content, TREE.leaves, WIDTH)


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(DatasetError, match="at least 100 pictures .* received 99"):
        fit_familiarity(*around(99, 1), leaves=5, share=0.9)
