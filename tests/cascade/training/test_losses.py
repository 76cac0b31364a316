"""The loss over decisions with partly known labels, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cascade.data.dataset import Item, targets
from cascade.taxonomy import Taxonomy
from cascade.training.losses import batch_loss, decision_loss, training_loss

TREE = Taxonomy.load()
DECISIONS = TREE.decisions()


def answers(*labels: str) -> np.ndarray:
    return targets([Item("", label) for label in labels], DECISIONS, TREE)


def test_targets_of_known_partly_known_and_outside_labels() -> None:
    known, partly, outside = answers("shoes/male/boots", "shoes/?/boots", "out_of_scope")
    assert known[:4].tolist() == [0, 0, 1, 0]
    assert known[4:10].sum() == 0  # not glasses, not trousers
    assert known[10:].tolist() == [1] + [0] * 10
    assert partly[10:].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert outside.tolist() == [0, 0, 0, 1] + [0] * 17


def test_even_logits_cost_the_logarithm_of_the_choices() -> None:
    zeros = np.zeros((1, 21), np.float32)
    known = batch_loss(answers("shoes/male/boots"), zeros, DECISIONS)
    assert known == pytest.approx(math.log(4) + math.log(11), rel=1e-5)
    # two of eleven outcomes fit
    partly = batch_loss(answers("shoes/?/boots"), zeros, DECISIONS)
    assert partly == pytest.approx(math.log(4) + math.log(11 / 2), rel=1e-5)
    outside = batch_loss(answers("out_of_scope"), zeros, DECISIONS)
    assert outside == pytest.approx(math.log(4), rel=1e-5)


def test_a_partly_known_label_is_free_to_choose_among_what_fits() -> None:
    logits = np.zeros((1, 21), np.float32)
    logits[0, 2] = 50  # shoes
    logits[0, 10] = 50  # male boots
    assert batch_loss(answers("shoes/?/boots"), logits, DECISIONS) == pytest.approx(0, abs=1e-5)
    logits[0, 10], logits[0, 15] = 0, 50  # female boots
    assert batch_loss(answers("shoes/?/boots"), logits, DECISIONS) == pytest.approx(0, abs=1e-5)


def test_label_smoothing_mixes_in_the_mean_over_the_outcomes() -> None:
    logits = np.zeros((1, 21), np.float32)
    logits[0, 3] = math.log(5)  # out_of_scope 5/8, the others 1/8
    loss = np.asarray(decision_loss(DECISIONS, 0.1)(answers("out_of_scope"), logits))
    spread = -(math.log(5 / 8) + 3 * math.log(1 / 8)) / 4
    assert loss[0] == pytest.approx(0.9 * -math.log(5 / 8) + 0.1 * spread, rel=1e-5)


def test_a_partly_known_label_does_not_take_sides_among_what_fits() -> None:
    """Else the likelier gender of a shop that never says it grows by itself."""
    import keras
    import tensorflow as tf

    logits = np.random.default_rng(3).normal(0, 2, (1, 21)).astype(np.float32)
    logits[0, 10], logits[0, 15] = 3.0, -1.0  # male boots look likelier
    tensor = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = decision_loss(DECISIONS)(answers("shoes/?/boots"), tensor)
    slope = keras.ops.convert_to_numpy(tape.gradient(loss, tensor))[0]
    assert slope[10] == pytest.approx(slope[15])
    assert slope[10] < 0
    assert (np.delete(slope[10:], [0, 5]) > 0).all()


def test_what_a_teacher_says_is_its_share_of_the_loss_by_hand() -> None:
    logits = np.zeros((2, 21), np.float32)
    logits[0, 3] = math.log(5)  # out_of_scope 5/8, the others 1/8
    known = answers("out_of_scope", "shoes/male/boots")
    taught = np.zeros((2, 21), np.float32)
    taught[0, :4] = [0, 0, 0.25, 0.75]
    taught[0, 10] = 1.0  # a decision that does not concern the picture teaches nothing
    taught[1, 2], taught[1, 10], taught[1, 15] = 1.0, 0.5, 0.5
    both = np.concatenate([known, taught], axis=1)
    loss = np.asarray(training_loss(DECISIONS, teacher_share=0.7)(both, logits))
    learnt = -0.75 * math.log(5 / 8) - 0.25 * math.log(1 / 8)
    assert loss[0] == pytest.approx(0.3 * -math.log(5 / 8) + 0.7 * learnt, rel=1e-5)
    assert loss[1] == pytest.approx(math.log(4) + math.log(11), rel=1e-5)
    alone = np.asarray(decision_loss(DECISIONS)(known, logits))
    without = np.asarray(training_loss(DECISIONS)(known, logits))
    assert without == pytest.approx(alone, rel=1e-6)


def test_a_picture_that_shows_two_costs_what_it_shows_of_either() -> None:
    logits = np.zeros((2, 21), np.float32)
    logits[:, 3] = math.log(5)  # out_of_scope 5/8, the others 1/8
    known, partner = answers("out_of_scope", "out_of_scope"), answers("shoes/male/boots", "shoes")
    own = np.array([[0.75], [1.0]], np.float32)
    mixed = np.concatenate([known, partner, own], axis=1)
    loss = np.asarray(training_loss(DECISIONS, mixed=True)(mixed, logits))
    outside, boots = -math.log(5 / 8), -math.log(1 / 8) + math.log(11)
    assert loss == pytest.approx([0.75 * outside + 0.25 * boots, outside], rel=1e-5)

    taught = np.zeros((2, 21), np.float32)
    taught[:, :4], taught[:, 10] = [0, 0, 0.5, 0.5], 1.0
    loss = np.asarray(
        training_loss(DECISIONS, mixed=True, teacher_share=1.0)(
            np.concatenate([mixed, taught], axis=1), logits
        )
    )
    primary = -0.5 * math.log(5 / 8) - 0.5 * math.log(1 / 8)
    # the decision among shoes concerns a quarter of the first picture, and nothing of the second
    assert loss == pytest.approx([primary + 0.25 * math.log(11), primary], rel=1e-5)
