"""Heads refitted to a few corrections, on synthetic features."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cascade.adaptation.crossvalidation import (
    FOLDS,
    Gain,
    corrections_needed,
    cross_validate,
    fold_of_each,
    losses,
)
from cascade.adaptation.refit import Labelled, Refitter, logits_of, loss_gradient
from cascade.data.dataset import Item, targets
from cascade.errors import DatasetError
from cascade.taxonomy import Taxonomy
from cascade.training.losses import training_loss

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car"])
DECISIONS = TREE.decisions()
FEATURES = 10


def pictures(
    count: int, seed: int, labels: tuple[str, ...] = TREE.leaves, shop: bool = False
) -> Labelled:
    """Ten features: one of the first four tells the leaf at home, of the next four in a shop."""
    random = np.random.default_rng(seed)
    chosen = [labels[n] for n in random.integers(0, len(labels), count)]
    places = [TREE.leaves.index(label) + 4 * shop for label in chosen]
    values = np.eye(FEATURES)[places] * 4 + random.normal(0, 1, (count, FEATURES))
    fits = targets([Item("", label) for label in chosen], DECISIONS, TREE)
    return Labelled(values.astype(np.float32), fits)


def right(heads: np.ndarray, found: Labelled) -> float:
    """The share whose every decision on the way is right."""
    logits, hits = logits_of(heads, found.values), np.ones(len(found.fits), bool)
    for columns in DECISIONS.columns:
        fit = found.fits[:, columns]
        best = fit[np.arange(len(fit)), logits[:, columns].argmax(axis=1)]
        hits &= (best > 0) | ~fit.any(axis=1)
    return float(hits.mean())


@pytest.fixture(scope="module")
def trained() -> np.ndarray:
    """Heads that know the leaves at home: fitted from nothing."""
    home = pictures(2000, 1)
    heads = np.zeros((FEATURES + 1, DECISIONS.width), np.float32)
    for _ in range(6):
        heads = Refitter(heads, home, DECISIONS).refit(home)
    return heads


def test_the_gradient_is_that_of_the_loss_that_training_has() -> None:
    import tensorflow as tf

    random = np.random.default_rng(4)
    labels = ["pets/cat", "toys/car", "pets", "toys/ball"]
    fits = targets([Item("", label) for label in labels], DECISIONS, TREE)
    logits = random.normal(0, 2, fits.shape).astype(np.float32)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(training_loss(DECISIONS, 0.0)(fits, variable))
    expected = tape.gradient(loss, variable).numpy()
    found = loss_gradient(logits, fits, DECISIONS)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_refitting_learns_the_shop_and_keeps_home(trained: np.ndarray) -> None:
    home, shop = pictures(500, 2), pictures(500, 3, shop=True)
    refitter = Refitter(trained, pictures(2000, 1), DECISIONS)
    heads = refitter.refit(pictures(80, 4, shop=True))
    assert right(trained, home) > 0.95
    assert right(trained, shop) < 0.4  # 0.25 by chance
    assert right(heads, shop) > right(trained, shop) + 0.3
    assert right(heads, home) > right(trained, home) - 0.03


def test_classes_without_corrections_keep_their_scale(trained: np.ndarray) -> None:
    refitter = Refitter(trained, pictures(2000, 1), DECISIONS)
    heads = refitter.refit(pictures(60, 5, ("pets/cat", "toys/ball"), shop=True))
    absent = pictures(400, 6, ("pets/dog", "toys/car"))
    assert right(heads, absent) > right(trained, absent) - 0.05
    before, after = (logits_of(each, absent.values) for each in (trained, heads))
    for columns in DECISIONS.columns:
        ratio = after[:, columns].std() / before[:, columns].std()
        assert 0.7 < ratio < 1.4


def test_a_group_is_in_one_fold_and_folds_are_equally_large() -> None:
    groups = [f"{n // 3}" for n in range(90)] + ["large"] * 20
    folds = fold_of_each(groups, 1)
    assert all(len({f for f, g in zip(folds, groups, strict=True) if g == n}) == 1 for n in groups)
    assert np.bincount(folds, minlength=FOLDS).min() >= 20
    with pytest.raises(DatasetError, match="at least 10 different products, received 9"):
        fold_of_each([f"{n % 9}" for n in range(100)], 1)


def test_no_fold_sees_its_own_group(trained: np.ndarray) -> None:
    """Pictures that are all the same, with labels at random: seen ones could be known by heart."""
    random = np.random.default_rng(7)
    twins = pictures(40, 8)
    values = np.repeat(random.normal(0, 3, (40, FEATURES)).astype(np.float32), 2, axis=0)
    twice = Labelled(values, np.repeat(twins.fits, 2, axis=0))
    refitter = Refitter(trained, pictures(2000, 1), DECISIONS)
    groups = [f"{n // 2}" for n in range(80)]
    apart = cross_validate(refitter, twice, groups)
    split = cross_validate(refitter, twice, [f"{n}" for n in range(80)])
    honest, seen = (
        losses(found.after[1.0], twice.fits, DECISIONS).mean() for found in (apart, split)
    )
    assert honest > seen
    np.testing.assert_allclose(apart.after[0.5], (apart.before + apart.after[1.0]) / 2, atol=1e-4)


def test_labels_that_nobody_could_learn_gain_only_where_they_were_seen() -> None:
    """Labels at random, each equally often: heads that call all equally likely are the best."""
    random = np.random.default_rng(11)
    labels = random.permutation(np.repeat(TREE.leaves, 25))
    fits = targets([Item("", str(label)) for label in labels], DECISIONS, TREE)
    values = random.normal(0, 3, (len(labels), FEATURES)).astype(np.float32)
    nonsense, undecided = Labelled(values, fits), np.zeros((FEATURES + 1, DECISIONS.width))
    groups = [f"{n}" for n in range(len(labels))]
    unlabelled = Labelled(pictures(500, 12).values, np.ones((500, DECISIONS.width), np.float32))
    refitter = Refitter(undecided, unlabelled, DECISIONS)
    found = cross_validate(refitter, nonsense, groups)
    before = losses(found.before, fits, DECISIONS)
    seen = logits_of(refitter.refit(nonsense), values)
    assert Gain.of(before, losses(seen, fits, DECISIONS), groups).sure
    unseen = Gain.of(before, losses(found.after[1.0], fits, DECISIONS), groups)
    assert unseen.mean < -unseen.error


def test_losses_are_negative_log_probabilities_of_what_is_known() -> None:
    fits = targets([Item("", "pets/cat"), Item("", "pets")], DECISIONS, TREE)
    found = losses(np.zeros((2, DECISIONS.width)), fits, DECISIONS)
    np.testing.assert_allclose(found, [2 * np.log(2), np.log(2)], atol=1e-6)


def test_the_gain_counts_groups_and_the_forecast_follows_it() -> None:
    before, after = np.ones(8), np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    apart = Gain.of(before, after, list("abcdefgh"))
    together = Gain.of(before, after, list("aabbccdd"))
    assert apart.mean == together.mean == 0.5
    assert together.error > apart.error
    assert apart.sure
    assert corrections_needed(100, Gain(0.02, 0.05), Gain(0.0, 0.05)) == 200
    assert corrections_needed(100, Gain(0.02, 0.05), Gain(0.03, 0.05)) is None
    assert not Gain(0.02, 0.05).sure
