"""Losses for several decisions, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cascade.data.dataset import Item, targets
from cascade.taxonomy import Taxonomy
from cascade.training.losses import decision_loss, mean_loss, training_loss

TREE = Taxonomy.load()
DECISIONS = TREE.decisions()


def targets_of(*labels: str) -> np.ndarray:
    return targets([Item("", label) for label in labels], DECISIONS, TREE)


def test_targets_of_known_partly_known_and_outside_labels() -> None:
    known, partly, outside = targets_of("shoes/male/boots", "shoes/?/boots", "out_of_scope")
    assert known[:4].tolist() == [0, 0, 1, 0]
    assert known[4:10].sum() == 0  # not glasses, not trousers
    assert known[10:].tolist() == [1] + [0] * 10
    assert partly[10:].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert outside.tolist() == [0, 0, 0, 1] + [0] * 17


def test_equal_logits_cost_the_logarithm_of_the_choices() -> None:
    zeros = np.zeros((1, 21), np.float32)
    known = mean_loss(targets_of("shoes/male/boots"), zeros, DECISIONS)
    assert known == pytest.approx(math.log(4) + math.log(11), rel=1e-5)
    # two of eleven outcomes fit
    partly = mean_loss(targets_of("shoes/?/boots"), zeros, DECISIONS)
    assert partly == pytest.approx(math.log(4) + math.log(11 / 2), rel=1e-5)
    outside = mean_loss(targets_of("out_of_scope"), zeros, DECISIONS)
    assert outside == pytest.approx(math.log(4), rel=1e-5)


def test_a_partly_known_label_accepts_every_fitting_outcome() -> None:
    logits = np.zeros((1, 21), np.float32)
    logits[0, 2] = 50  # shoes
    logits[0, 10] = 50  # male boots
    assert mean_loss(targets_of("shoes/?/boots"), logits, DECISIONS) == pytest.approx(0, abs=1e-5)
    logits[0, 10], logits[0, 15] = 0, 50  # female boots
    assert mean_loss(targets_of("shoes/?/boots"), logits, DECISIONS) == pytest.approx(0, abs=1e-5)


def test_label_smoothing_mixes_in_the_mean_over_the_outcomes() -> None:
    logits = np.zeros((1, 21), np.float32)
    logits[0, 3] = math.log(5)  # out_of_scope 5/8, the others 1/8
    loss = np.asarray(decision_loss(DECISIONS, 0.1)(targets_of("out_of_scope"), logits))
    spread = -(math.log(5 / 8) + 3 * math.log(1 / 8)) / 4
    assert loss[0] == pytest.approx(0.9 * -math.log(5 / 8) + 0.1 * spread, rel=1e-5)


def test_a_partly_known_label_does_not_favour_a_fitting_outcome() -> None:
    """Otherwise the likelier gender of a shop without gender labels reinforces itself."""
    import keras
    import tensorflow as tf

    logits = np.random.default_rng(3).normal(0, 2, (1, 21)).astype(np.float32)
    logits[0, 10], logits[0, 15] = 3.0, -1.0  # male boots look likelier
    tensor = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = decision_loss(DECISIONS)(targets_of("shoes/?/boots"), tensor)
    slope = keras.ops.convert_to_numpy(tape.gradient(loss, tensor))[0]
    assert slope[10] == pytest.approx(slope[15])
    assert slope[10] < 0
    assert (np.delete(slope[10:], [0, 5]) > 0).all()


def test_soft_labels_have_their_weight_in_the_loss() -> None:
    logits = np.zeros((2, 21), np.float32)
    logits[0, 3] = math.log(5)  # out_of_scope 5/8, the others 1/8
    known = targets_of("out_of_scope", "shoes/male/boots")
    soft = np.zeros((2, 21), np.float32)
    soft[0, :4] = [0, 0, 0.25, 0.75]
    soft[0, 10] = 1.0  # a decision that does not apply to the picture costs nothing
    soft[1, 2], soft[1, 10], soft[1, 15] = 1.0, 0.5, 0.5
    both = np.concatenate([known, soft], axis=1)
    loss = np.asarray(training_loss(DECISIONS, distillation_weight=0.7)(both, logits))
    learnt = -0.75 * math.log(5 / 8) - 0.25 * math.log(1 / 8)
    assert loss[0] == pytest.approx(0.3 * -math.log(5 / 8) + 0.7 * learnt, rel=1e-5)
    assert loss[1] == pytest.approx(math.log(4) + math.log(11), rel=1e-5)
    alone = np.asarray(decision_loss(DECISIONS)(known, logits))
    without = np.asarray(training_loss(DECISIONS)(known, logits))
    assert without == pytest.approx(alone, rel=1e-6)


def test_a_mixed_picture_costs_the_weighted_mean_of_both() -> None:
    logits = np.zeros((2, 21), np.float32)
    logits[:, 3] = math.log(5)  # out_of_scope 5/8, the others 1/8
    known, partner = (
        targets_of("out_of_scope", "out_of_scope"),
        targets_of("shoes/male/boots", "shoes"),
    )
    own = np.array([[0.75], [1.0]], np.float32)
    mixed = np.concatenate([known, partner, own], axis=1)
    loss = np.asarray(training_loss(DECISIONS, mixed=True)(mixed, logits))
    outside, boots = -math.log(5 / 8), -math.log(1 / 8) + math.log(11)
    assert loss == pytest.approx([0.75 * outside + 0.25 * boots, outside], rel=1e-5)

    soft = np.zeros((2, 21), np.float32)
    soft[:, :4], soft[:, 10] = [0, 0, 0.5, 0.5], 1.0
    loss = np.asarray(
        training_loss(DECISIONS, mixed=True, distillation_weight=1.0)(
            np.concatenate([mixed, soft], axis=1), logits
        )
    )
    primary = -0.5 * math.log(5 / 8) - 0.5 * math.log(1 / 8)
    # the shoe decision applies to a quarter of the first picture and not to the second
    assert loss == pytest.approx([primary + 0.25 * math.log(11), primary], rel=1e-5)
