"""Logit adjustment, on classes with known shares."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cascade.data.dataset import Item, targets
from cascade.networks.architectures import build_two_convolutions
from cascade.taxonomy import Taxonomy
from cascade.training.batches import sampling_weights
from cascade.training.logit_adjustment import fit_strengths, prior_shifts, shift_biases

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car"])
PETS = TREE.decisions()[1:2]


def drawn(cats: int, dogs: int) -> list[Item]:
    return [Item("", "pets/cat")] * cats + [Item("", "pets/dog")] * dogs


def test_the_shifts_are_the_log_of_true_over_sampled_share() -> None:
    items = drawn(900, 100)
    # at the power of -0.5 cats are drawn 900/30 = 30 times for 100/10 = 10 dogs: 3 to 1, not 9 to 1
    shifts = prior_shifts(items, sampling_weights(items, 0.5), PETS, TREE)
    assert shifts[0] - shifts[1] == pytest.approx(np.log(9 / 3))
    assert prior_shifts(items, sampling_weights(items, 0.0), PETS, TREE) == pytest.approx(
        [0, 0], abs=1e-6
    )


def test_partly_known_labels_do_not_count() -> None:
    items = [*drawn(900, 100), *[Item("", "pets")] * 500]
    weights = np.concatenate([sampling_weights(items[:1000], 0.5), np.ones(500)])
    shifts = prior_shifts(items, weights, PETS, TREE)
    assert shifts[0] - shifts[1] == pytest.approx(np.log(3))


@pytest.mark.parametrize(("truth", "expected"), [(0.9, 1.0), (0.5, 0.0)])
def test_validation_decides_the_strength(truth: float, expected: float) -> None:
    """Calibrated logits of a network trained on equal shares, for pictures with a share of cats."""
    random = np.random.default_rng(1)
    cat = random.random(4000) < truth
    clue = random.normal(np.where(cat, 1.0, -1.0), 1.0)  # its log-odds at even shares are 2 x clue
    logits = np.stack([clue, -clue], axis=1)
    answers = targets([Item("", "pets/cat" if c else "pets/dog") for c in cat], PETS, TREE)
    shifts = np.log([0.9 / 0.5, 0.1 / 0.5])
    assert fit_strengths(logits, answers, PETS, shifts) == {"pets": expected}


def test_a_decision_without_pictures_keeps_its_biases() -> None:
    nothing = fit_strengths(np.zeros((0, 2)), np.zeros((0, 2)), PETS, np.array([1.0, -1.0]))
    assert nothing == {"pets": 0.0}


def test_shifted_biases_shift_the_logits_by_the_same_amount() -> None:
    decisions = TREE.decisions()
    width = sum(len(decision.outcomes) for decision in decisions)
    model: keras.Model = build_two_convolutions(decisions, 24, 18, filters=4)
    pictures = np.random.default_rng(2).integers(0, 256, (3, 24, 18, 3), dtype=np.uint8)
    before = model.predict_on_batch(pictures)
    shifts = np.arange(width, dtype=float)
    strengths = {decision.node: 0.5 for decision in decisions}
    shift_biases(model, decisions, shifts, strengths)
    assert model.predict_on_batch(pictures) - before == pytest.approx(
        np.tile(0.5 * shifts, (3, 1)), abs=1e-5
    )
