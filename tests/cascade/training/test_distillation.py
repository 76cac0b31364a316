"""Distillation: a student learns from a teacher what the labels do not contain."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade.classifier import Cascade
from cascade.data.dataset import Pictures
from cascade.errors import BundleError, DatasetError
from cascade.networks.architectures import build_trunk
from cascade.networks.efficientnet_lite import efficientnet_lite0, load_imagenet_weights
from cascade.pictures.decode import Preprocessing
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy
from cascade.training.build import TrainingData, build_cascade
from cascade.training.callbacks import predict_logits
from cascade.training.distillation import (
    TeacherEnsemble,
    corrected_soft_labels,
    load_teacher,
    with_soft_labels,
    with_teachers,
)
from cascade.training.fit import train_network
from cascade.training.settings import TrainingSettings

from .test_build import FRAME, data
from .test_fit import PLAIN, TREE, shapes, task

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
    build_cascade(data(), PLAIN, folder / "bundle", folder / "work", 0.7)
    return Cascade.load(folder / "bundle")


def test_a_student_learns_the_type_from_the_teacher_where_no_label_has_one(
    teacher: Cascade,
) -> None:
    train, test = shapes(160, 5), shapes(80, 6)
    items = tuple(replace(item, label=item.label.split("/")[0]) for item in train.items)
    unlabelled = Pictures(items, train.pixels)
    hidden = with_soft_labels(unlabelled, [teacher], DECISIONS)
    assert hidden.soft_labels is not None and hidden.soft_labels.shape == (160, 6)
    # for each of the three decisions the probabilities add up
    assert np.add.reduceat(hidden.soft_labels, [0, 2, 4], axis=1) == pytest.approx(1.0, abs=1e-5)

    def types_right(pictures: Pictures, ensemble: TeacherEnsemble | None = None) -> float:
        settings = replace(PLAIN, distillation_weight=0.9)
        given = task(pictures, test, decisions=DECISIONS, teacher=ensemble)
        model, _ = train_network(given, settings)
        flat = [n for n, item in enumerate(test.items) if item.label.startswith("flat")]
        logits = predict_logits(model, test.pixels[flat])[:, 2:4]
        truth = [DECISIONS[1].outcomes.index(test.items[n].label) for n in flat]
        return float((logits.argmax(axis=1) == truth).mean())

    assert types_right(hidden) >= 0.85
    assert types_right(unlabelled, TeacherEnsemble([teacher, teacher], DECISIONS)) >= 0.85
    # the labels alone do not contain dark or light
    assert types_right(unlabelled) <= 0.75


def test_answers_of_a_teacher_that_contradict_the_label_do_not_count() -> None:
    """Three decisions of two outcomes: a right answer, a wrong one, an unknown part, a sure one."""
    given = np.array(
        [
            [0.7, 0.3, 0.6, 0.4, 0.5, 0.5],  # right
            [0.2, 0.8, 0.1, 0.9, 0.5, 0.5],  # wrong in the first, its label leaves the second open
            [1.0, 0.0, 1.0, 0.0, 0.9, 0.1],  # wrong and sure of it
        ],
        np.float32,
    )
    fits = np.array([[1, 0, 1, 0, 0, 0], [1, 0, 1, 1, 0, 0], [0, 1, 0, 0, 1, 0]], np.float32)
    found = corrected_soft_labels(given, fits, DECISIONS)
    np.testing.assert_allclose(found[0], given[0])
    np.testing.assert_allclose(found[1], [1, 0, 0.1, 0.9, 0.5, 0.5])
    np.testing.assert_allclose(found[2], [0, 1, 1, 0, 0.9, 0.1])  # nothing is known of the second


def test_several_teachers_give_their_mean(teacher: Cascade) -> None:
    """The same bundle twice, once at half the temperature."""
    routing = teacher.bundle.routing
    doubled = {node: value / 2 for node, value in routing.temperatures.items()}
    sharper = Sharper(teacher.bundle, teacher.runners, temperatures=doubled)
    pixels = shapes(20, 9).pixels
    one, other = (TeacherEnsemble([each], DECISIONS)(pixels) for each in (teacher, sharper))
    assert np.abs(one - other).max() > 0.01
    both = TeacherEnsemble([teacher, sharper], DECISIONS)(pixels)
    assert both == pytest.approx((one + other) / 2, abs=1e-6)
    assert load_teacher(teacher.bundle.folder).version == teacher.version


def test_a_teacher_with_other_decisions_or_another_size_without_files_is_refused(
    teacher: Cascade,
) -> None:
    other = Taxonomy.from_labels(["pets/cat", "pets/dog"]).decisions()
    with pytest.raises(BundleError, match="same tree"):
        with_soft_labels(shapes(4, 1), [teacher], other)
    with pytest.raises(BundleError, match="same tree"):
        TeacherEnsemble([teacher], other)
    larger = Pictures(shapes(4, 1).items, np.zeros((4, 48, 36, 3), np.uint8))
    with pytest.raises(DatasetError, match="in files"):
        with_soft_labels(larger, [teacher], DECISIONS)
    assert teacher.preprocessing == FRAME


def test_teachers_of_another_size_that_see_each_view_get_the_pictures_at_their_size(
    teacher: Cascade, tmp_path: Path
) -> None:
    pictures, paths = shapes(4, 1), []
    for number, pixels in enumerate(pictures.pixels):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(pixels).save(paths[-1])
    items = tuple(replace(i, path=p) for i, p in zip(pictures.items, paths, strict=True))
    small = Pictures(items, np.zeros((4, 12, 9, 3), np.uint8))
    given = TrainingData(small, small, TREE, preprocessing=Preprocessing(width=9, height=12))
    settings = TrainingSettings(teacher_views=True)
    found, settings = with_teachers(given, settings, [teacher.bundle.folder])
    assert settings.teachers == (teacher.version,)
    assert found.teacher is not None and found.train.soft_labels is None
    assert found.train.teacher_pixels is not None
    np.testing.assert_array_equal(found.train.teacher_pixels, pictures.pixels)
    some = found.train.subset(np.array([2, 0]))
    assert some.teacher_pixels is not None
    np.testing.assert_array_equal(some.teacher_pixels, pictures.pixels[[2, 0]])
    once, _ = with_teachers(given, replace(settings, teacher_views=False), [teacher.bundle.folder])
    assert once.teacher is None and once.train.soft_labels is not None


def test_a_shortened_trunk_has_the_pretrained_weights_of_its_blocks() -> None:
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


def test_selected_rows_keep_their_soft_labels() -> None:
    pictures = replace(shapes(6, 1), soft_labels=np.arange(12, dtype=np.float32).reshape(6, 2))
    some = pictures.subset(np.array([False, True, False, True, False, False]))
    assert [item.path for item in some.items] == ["1", "3"]
    assert some.soft_labels is not None and some.soft_labels.tolist() == [[2, 3], [6, 7]]


def test_drop_path_is_active_in_training_only() -> None:
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
