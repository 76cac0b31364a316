"""After adapting, a shop gets as many sure labels, as precise; on logits that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cascade.adaptation.crossvalidation import Gain, farthest
from cascade.adaptation.sure_labels import as_sure_as
from cascade.adaptation.views import other_views
from cascade.data.dataset import Item
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car", "none"], "none")
DECISIONS = TREE.decisions()
LEAVES = ("pets/cat", "pets/dog", "toys/ball", "toys/car", "none")


def answers(sureness: np.ndarray, best: np.ndarray) -> np.ndarray:
    """``(N, K)`` logits whose best leaf is ``best``, with log odds that are given."""
    logits = np.zeros((len(best), DECISIONS.width), np.float32)
    for row, number in enumerate(best):
        for decision, columns in DECISIONS.with_columns():
            for place, outcome in enumerate(decision.outcomes):
                if (LEAVES[number] + "/").startswith(outcome + "/"):
                    logits[row, columns.start + place] = sureness[row]
    return logits


def sure(routing: Routing, logits: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """How many labels need no review, and how many of those are right."""
    found = routing.label(logits)
    kept = [(a.label, LEAVES[t]) for a, t in zip(found, truth, strict=True) if not a.needs_review]
    return len(kept), sum(label == leaf for label, leaf in kept)


def crowd(error: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits of 200 pictures, and their truth: the less sure half has all the mistakes."""
    random = np.random.default_rng(5)
    truth = random.integers(0, len(LEAVES), 200)
    sureness = np.linspace(2, 6, 200)
    best = truth.copy()
    for row in np.flatnonzero(random.random(100) < error):  # of the less sure half
        best[row] = (truth[row] + 1) % len(LEAVES)
    return answers(sureness, best), truth


def routing(threshold: float) -> Routing:
    return replace(
        Routing(TREE, DECISIONS), thresholds=dict.fromkeys([*LEAVES, "pets", "toys"], threshold)
    )


def items(truth: np.ndarray) -> list[Item]:
    return [Item("", LEAVES[number]) for number in truth]


def test_thresholds_that_became_too_strict_give_way_until_as_many_are_sure() -> None:
    old, truth = crowd(0.4)
    new, _ = crowd(0.1)
    before, strict = routing(0.9), routing(0.995)
    count, right = sure(before, old, truth)
    assert sure(strict, new, truth)[0] < count / 2
    found = as_sure_as(before, old, strict, new, items(truth))
    now, now_right = sure(found, new, truth)
    assert now >= count * 0.85  # but for out_of_scope, whose threshold stays
    assert now_right / now >= right / count
    assert found.thresholds["none"] == strict.thresholds["none"]


def test_thresholds_that_became_too_loose_give_no_more_mistakes() -> None:
    old, truth = crowd(0.1)
    new, _ = crowd(0.6)
    before, loose = routing(0.95), routing(0.3)
    count, right = sure(before, old, truth)
    assert sure(loose, new, truth)[1] / sure(loose, new, truth)[0] < right / count - 0.1
    found = as_sure_as(before, old, loose, new, items(truth))
    now, now_right = sure(found, new, truth)
    assert now_right / now >= right / count - 0.03


def test_thresholds_that_do_stay_as_they_are() -> None:
    old, truth = crowd(0.3)
    before = routing(0.9)
    assert as_sure_as(before, old, before, old, items(truth)) == before
    none = routing(1.01)  # nothing was sure, so there is nothing to compare with
    assert as_sure_as(none, old, before, old, items(truth)) == before


def test_the_farthest_strength_that_is_as_good_as_the_best_is_taken() -> None:
    gains = {0.25: Gain(0.1, 0.03), 0.5: Gain(0.2, 0.03), 0.75: Gain(0.18, 0.05), 1.0: Gain(0, 0.1)}
    assert farthest(gains, [0.25, 0.5, 0.75, 1.0]) == (0.75, gains[0.5])
    assert farthest(gains, [0.25, 0.5]) == (0.5, gains[0.5])
    assert farthest(gains, []) == (0.0, gains[0.5])


def test_views_show_the_same_picture_elsewhere() -> None:
    pixels = np.full((1, 120, 90, 3), 255, np.uint8)
    pixels[0, 40:80, 20:40] = 0  # left of the middle
    mirrored, right_up, left_down, smaller, dull = (each[0] for each in other_views(pixels))
    dark = [
        (each < 128).all(axis=2) for each in (pixels[0], mirrored, right_up, left_down, smaller)
    ]
    area = [each.sum() for each in dark]
    assert area[1] == area[0] == 800
    assert area[2] == pytest.approx(800 * 1.15**2, rel=0.1)
    assert area[4] == pytest.approx(800 * 0.87**2, rel=0.1)
    across, down = zip(*(np.argwhere(each).mean(axis=0)[::-1] for each in dark), strict=True)
    assert across[1] == pytest.approx(89 - across[0])
    assert across[2] < across[3]
    assert down[2] < down[3]
    assert dull.min() == 10
    assert dull.max() < 255
    assert other_views(pixels[:0])[1].shape == (0, 120, 90, 3)
