"""A student learns from a teacher what the labels do not say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from cascade.classifier import Cascade
from cascade.data.dataset import Pictures
from cascade.errors import BundleError, DatasetError
from cascade.networks.architectures import build_trunk
from cascade.networks.efficientnet_lite import efficientnet_lite0, load_imagenet_weights
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy
from cascade.training.build import build_cascade
from cascade.training.distillation import Teachers, open_teacher, taught_by
from cascade.training.fit import logits_of, train_network

from .test_build import FRAME, material
from .test_fit import PLAIN, TREE, shapes

DECISIONS = TREE.decisions()


@dataclass(frozen=True)
class Sharper(Cascade):
    """A cascade with other temperatures than its bundle's."""

    temperatures: dict[str, float] = field(default_factory=dict)

    @property
    def routing(self) -> Routing:
        return replace(self.bundle.routing, temperatures=self.temperatures)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    folder = tmp_path_factory.mktemp("teacher")
    build_cascade(material(), PLAIN, folder / "bundle", folder / "work", 0.7)
    return Cascade.load(folder / "bundle")


def test_a_student_learns_the_type_from_the_teacher_where_no_label_has_one(
    teacher: Cascade,
) -> None:
    train, test = shapes(160, 5), shapes(80, 6)
    items = tuple(replace(item, label=item.label.split("/")[0]) for item in train.items)
    unlabelled = Pictures(items, train.pixels)
    hidden = taught_by([teacher], unlabelled, DECISIONS)
    assert hidden.taught is not None and hidden.taught.shape == (160, 6)
    # for each of the three decisions the probabilities add up
    assert np.add.reduceat(hidden.taught, [0, 2, 4], axis=1) == pytest.approx(1.0, abs=1e-5)

    def types_right(pictures: Pictures, teach: Teachers | None = None) -> float:
        settings = replace(PLAIN, teacher_share=0.9)
        model, _ = train_network(pictures, test, DECISIONS, TREE, settings, teach=teach)
        flat = [n for n, item in enumerate(test.items) if item.label.startswith("flat")]
        logits = logits_of(model, test.pixels[flat])[:, 2:4]
        truth = [DECISIONS[1].outcomes.index(test.items[n].label) for n in flat]
        return float((logits.argmax(axis=1) == truth).mean())

    assert types_right(hidden) >= 0.85
    assert types_right(unlabelled, Teachers([teacher, teacher], DECISIONS)) >= 0.85
    # the labels alone say nothing of dark or light
    assert types_right(unlabelled) <= 0.75


def test_several_teachers_answer_with_their_mean(teacher: Cascade) -> None:
    """Two of one bundle, of which one sees twice as sharply: logits by half the temperature."""
    routing = teacher.bundle.routing
    doubled = {node: value / 2 for node, value in routing.temperatures.items()}
    sharper = Sharper(teacher.bundle, teacher.runners, temperatures=doubled)
    pixels = shapes(20, 9).pixels
    one, other = (Teachers([each], DECISIONS)(pixels) for each in (teacher, sharper))
    assert np.abs(one - other).max() > 0.01
    both = Teachers([teacher, sharper], DECISIONS)(pixels)
    assert both == pytest.approx((one + other) / 2, abs=1e-6)
    assert open_teacher(teacher.bundle.folder).version == teacher.version


def test_a_teacher_that_decides_otherwise_or_cannot_see_the_pictures_is_refused(
    teacher: Cascade,
) -> None:
    other = Taxonomy.from_labels(["pets/cat", "pets/dog"]).decisions()
    with pytest.raises(BundleError, match="same tree"):
        taught_by([teacher], shapes(4, 1), other)
    with pytest.raises(BundleError, match="same tree"):
        Teachers([teacher], other)
    larger = Pictures(shapes(4, 1).items, np.zeros((4, 48, 36, 3), np.uint8))
    with pytest.raises(DatasetError, match="in files"):
        taught_by([teacher], larger, DECISIONS)
    assert teacher.preprocessing == FRAME


def test_a_trunk_that_ends_early_has_the_pretrained_weights_of_what_is_left() -> None:
    whole, short = efficientnet_lite0(64, 48), efficientnet_lite0(64, 48, blocks=11)
    for trunk in (whole, short):
        load_imagenet_weights(trunk)
    assert short.output_shape == (None, 112)
    assert short.count_params() < 0.3 * whole.count_params()
    inner = {variable.path: np.asarray(variable) for variable in whole.weights}
    for variable in short.weights:
        np.testing.assert_array_equal(np.asarray(variable), inner[variable.path])
    student = build_trunk(DECISIONS, 64, 48, blocks=11)
    assert student.output_shape == (None, 6)


def test_rows_keep_what_was_taught() -> None:
    pictures = replace(shapes(6, 1), taught=np.arange(12, dtype=np.float32).reshape(6, 2))
    some = pictures.subset(np.array([False, True, False, True, False, False]))
    assert [item.path for item in some.items] == ["1", "3"]
    assert some.taught is not None and some.taught.tolist() == [[2, 3], [6, 7]]


def test_blocks_are_dropped_in_training_alone() -> None:
    plain = build_trunk(DECISIONS, 64, 48)
    dropping = build_trunk(DECISIONS, 64, 48, drop_path=0.5)
    inner = {variable.path: variable for variable in plain.trainable_variables}
    for variable in dropping.trainable_variables:
        variable.assign(inner[variable.path])
    pictures = np.random.default_rng(0).integers(0, 256, (4, 64, 48, 3)).astype(np.uint8)
    expected = np.asarray(plain(pictures, training=False))
    assert np.asarray(dropping(pictures, training=False)) == pytest.approx(expected, abs=1e-5)
    rates = [layer.rate for layer in dropping.layers if layer.name.endswith("_drop")]
    assert len(rates) == 9 and rates == sorted(rates) and rates[-1] == pytest.approx(0.5 * 14 / 16)
