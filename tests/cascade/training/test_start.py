"""Starting a training from the weights of a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cascade.bundle import Bundle
from cascade.data.dataset import Pictures
from cascade.errors import BundleError
from cascade.networks.architectures import Architecture, build, build_trunk
from cascade.networks.serialisation import read_network
from cascade.networks.start import load_start, start_weights
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from cascade.training.build import TrainingData, with_start
from cascade.training.fit import train_network
from cascade.training.settings import TrainingSettings
from cascade.training.task import TrainingTask

from .test_fit import PLAIN, TREE, shapes, task

SHIPPED = Bundle.open()
NOTHING = Pictures((), np.zeros((0, 80, 60, 3), np.uint8))
STUDENT = TrainingSettings(Architecture("trunk", {"blocks": 11}))


def test_a_shorter_trunk_starts_from_the_blocks_that_it_shares_and_new_heads() -> None:
    given = TrainingData(NOTHING, NOTHING, SHIPPED.taxonomy, preprocessing=Preprocessing(60, 80))
    found, settings = with_start(given, STUDENT, SHIPPED.folder)
    assert settings.start_from == SHIPPED.version
    assert found.task(SHIPPED.decisions).start is found.start is not None
    student = build_trunk(SHIPPED.decisions, 80, 60, blocks=11, seed=4)
    heads = {v.path: np.asarray(v) for v in student.weights if v.path.startswith("decide_")}
    load_start(student, found.start)
    shipped = {v.path: np.asarray(v) for v in read_network(SHIPPED.folder, 0).weights}
    for variable in student.weights:
        if "seed_generator" in variable.path:
            continue
        same = heads if variable.path.endswith("kernel") and variable.path in heads else shipped
        np.testing.assert_array_equal(np.asarray(variable), same[variable.path], variable.path)


def test_a_network_with_more_blocks_or_other_decisions_is_refused(tmp_path: Path) -> None:
    shorter = start_weights(build_trunk(SHIPPED.decisions, 80, 60, blocks=3))
    with pytest.raises(BundleError, match=r"block3.*received None; take a bundle"):
        load_start(build_trunk(SHIPPED.decisions, 80, 60, blocks=11), shorter)
    other = Taxonomy.from_labels(["pets/cat", "pets/dog"])
    with pytest.raises(BundleError, match="the decisions of this training"):
        with_start(TrainingData(NOTHING, NOTHING, other), STUDENT, SHIPPED.folder)
    original = TrainingSettings(Architecture("two_convolutions"))
    with pytest.raises(ValueError, match="one network for all decisions"):
        with_start(TrainingData(NOTHING, NOTHING, SHIPPED.taxonomy), original, SHIPPED.folder)


def test_training_begins_at_the_given_weights() -> None:
    """One step at a rate of nearly nothing leaves them where they were."""
    settings = replace(PLAIN, epochs=1, learning_rate=1e-9, seed=3)
    start = start_weights(
        build(PLAIN.architecture, task(shapes(1, 1), shapes(1, 1)).decisions, 24, 18, 9)
    )
    given: TrainingTask = task(shapes(16, 1), shapes(8, 2), start=start)
    model, _ = train_network(given, settings)
    for variable in model.trainable_variables:
        np.testing.assert_allclose(np.asarray(variable), start[variable.path], atol=1e-6)
    other, _ = train_network(replace(given, start=None), settings)
    kernel = "convolution0/kernel"
    assert np.abs(start_weights(other)[kernel] - start[kernel]).max() > 0.01
    assert TREE.leaves
