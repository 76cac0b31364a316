"""Training batches: sampling, augmentation, mixing, soft labels."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from cascade.data.dataset import Item
from cascade.training.augmentation import NO_AUGMENTATION, Augmentation, augment
from cascade.training.batches import Teacher, TrainingBatches, sampling_weights
from cascade.training.fit import FinalLowRate
from cascade.training.mixup import mix
from cascade.training.settings import TrainingSettings


def test_small_classes_and_small_shops_are_oversampled() -> None:
    items = [Item("", "a", source="big")] * 16 + [Item("", "a", source="small")] * 4
    weights = sampling_weights([*items, Item("", "b", source="big")], balance=0.5)
    assert weights[0] == pytest.approx(1 / 4)
    assert weights[16] == pytest.approx(1 / 2)
    assert weights[20] == pytest.approx(1)
    assert sampling_weights(items, balance=0).tolist() == [1.0] * 20


def test_drawings_get_their_share_of_samples_however_many_there_are() -> None:
    items = [Item("", "a")] * 50 + [Item("", "a", source="drawings")] * 500
    weights = sampling_weights(items, balance=0.5, drawings_share=0.1)
    assert weights[50:].sum() / weights.sum() == pytest.approx(0.1)


def numbered(count: int) -> np.ndarray:
    """Pictures that carry their number in every pixel."""
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 24, 18, 3)
    )


def batches(
    count: int,
    weights: np.ndarray,
    soft_labels: Teacher | np.ndarray | None = None,
    **settings: object,
) -> TrainingBatches:
    chosen = TrainingSettings(**{"augmentation": NO_AUGMENTATION, "batch_size": 8, **settings})  # type: ignore[arg-type]
    targets = np.arange(count)[:, None]
    return TrainingBatches(numbered(count), targets, weights, chosen, soft_labels=soft_labels)


def test_equal_weights_sample_every_picture_once_with_its_own_target() -> None:
    drawn = batches(50, np.ones(50))
    seen = []
    for number in range(len(drawn)):
        pictures, targets = drawn[number]
        assert (pictures[:, 0, 0, 0] == targets[:, 0]).all()
        seen += targets[:, 0].tolist()
    assert sorted(seen) == list(range(50))
    assert seen != list(range(50))


def test_a_batch_depends_on_seed_epoch_and_number_alone() -> None:
    one = batches(50, np.ones(50), augmentation=Augmentation(), seed=5)
    other = batches(50, np.ones(50), augmentation=Augmentation(), seed=5)
    one.start_epoch(3)
    _ = one[0], one[1]
    other.on_epoch_end()
    other.start_epoch(3)
    assert (one[2][0] == other[2][0]).all()
    assert (one[2][1] == other[2][1]).all()
    other.start_epoch(4)
    assert (one[2][1] != other[2][1]).any()


def test_augmentation_keeps_the_shape_and_can_be_disabled() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 18, 3)).astype(np.uint8)
    assert (augment(picture, NO_AUGMENTATION, np.random.default_rng(0)) == picture).all()
    for seed in range(50):
        changed = augment(picture, Augmentation(), np.random.default_rng(seed))
        assert changed.shape == picture.shape
        assert changed.dtype == np.uint8


def test_mirror_alone_mirrors() -> None:
    picture = np.zeros((24, 18, 3), np.uint8)
    picture[:, :9] = 200  # light on the left
    mirrored = Augmentation(1, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0)
    changed = augment(picture, mirrored, np.random.default_rng(0))
    assert (changed[:, 10:] > 190).all()
    assert (changed[:, :8] < 10).all()


def test_mixed_pictures_match_their_shares() -> None:
    """Black and white pictures: the mean brightness of a mixed one is the share that is white."""
    pictures = np.zeros((64, 40, 30, 3), np.uint8)
    pictures[::2] = 255
    mixed, partners, own = mix(pictures, 1.0, np.random.default_rng(4))
    assert mixed.shape == pictures.shape and mixed.dtype == np.uint8
    assert sorted(partners) == list(range(64))
    white = np.arange(64) % 2 == 0
    share = np.where(white, own, 0) + np.where(white[partners], 1 - own, 0)
    assert mixed.mean(axis=(1, 2, 3)) / 255 == pytest.approx(share, abs=0.005)
    assert ((own >= 0) & (own <= 1)).all() and ((own > 0.2) & (own < 0.8)).any()
    grey = (mixed > 0) & (mixed < 255)
    assert grey.any(axis=(1, 2, 3)).any()  # some are blended,
    assert (np.ptp(mixed, axis=(1, 2, 3)) == 255).any()  # some hold a patch


def test_only_the_given_share_of_pictures_is_mixed() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (400, 12, 9, 3)).astype(np.uint8)
    mixed, _, own = mix(pictures, 0.25, np.random.default_rng(1))
    same = (mixed == pictures).all(axis=(1, 2, 3))
    assert 0.65 < same.mean() < 0.9
    assert (own[~same] < 1).all()
    untouched, _, own = mix(pictures, 0.0, np.random.default_rng(1))
    assert (untouched == pictures).all() and (own == 1).all()


def test_a_teacher_sees_the_pictures_as_they_are_shown() -> None:
    def brightness(pixels: np.ndarray) -> np.ndarray:
        return pixels.mean(axis=(1, 2, 3), keepdims=True)[:, 0, 0]

    drawn = batches(50, np.ones(50), soft_labels=brightness, mix_probability=1.0)
    shown, targets = drawn[2]
    assert (
        targets.shape == (8, 4) and targets.dtype == np.float32
    )  # own, partner's, share, soft label
    assert targets[:, 3] == pytest.approx(shown.mean(axis=(1, 2, 3)), abs=1e-4)
    expected = targets[:, 2] * targets[:, 0] + (1 - targets[:, 2]) * targets[:, 1]
    assert targets[:, 3] == pytest.approx(expected, abs=1.5)  # pixels are whole numbers


def test_precomputed_soft_labels_are_mixed_like_the_pictures() -> None:
    soft = np.linspace(0, 1, 50)[:, None]
    drawn = batches(50, np.ones(50), soft_labels=soft, mix_probability=1.0)
    _, targets = drawn[1]
    first, second = targets[:, 0].astype(int), targets[:, 1].astype(int)
    expected = targets[:, 2] * soft[first, 0] + (1 - targets[:, 2]) * soft[second, 0]
    assert targets[:, 3] == pytest.approx(expected, abs=1e-6)
    plain = batches(50, np.ones(50), soft_labels=soft)[1][1]
    assert plain[:, 1] == pytest.approx(soft[plain[:, 0].astype(int), 0])


def test_low_rate_epochs_show_half_of_the_pictures_unchanged_and_mix_none() -> None:
    random = np.random.default_rng(2)
    pixels = random.integers(0, 256, (400, 24, 18, 3)).astype(np.uint8)
    settings = TrainingSettings(batch_size=400, epochs=2, low_rate_epochs=1, mix_probability=0.5)
    drawn = TrainingBatches(pixels, np.arange(400)[:, None], np.ones(400), settings)

    def plain(epoch: int) -> tuple[float, float, np.ndarray]:
        drawn.start_epoch(epoch)
        shown, targets = drawn[0]
        own = pixels[targets[:, 0].astype(int)]
        same = (shown == own).all(axis=(1, 2, 3))
        mirrored = (shown == own[:, :, ::-1]).all(axis=(1, 2, 3))
        return float(same.mean()), float(mirrored.mean()), targets[:, 2]

    same, mirrored, share = plain(1)
    assert same + mirrored < 0.02
    assert (share < 1).any()
    same, mirrored, share = plain(2)
    assert 0.18 < same < 0.32 and 0.18 < mirrored < 0.32
    assert (share == 1).all()


def test_the_learning_rate_is_low_in_the_final_epochs() -> None:
    falling = FinalLowRate(lambda step: 1.0 - step / 100, 10, 0.05)
    assert [float(falling(step)) for step in (0, 9, 10, 50)] == pytest.approx(
        [1.0, 0.91, 0.05, 0.05]
    )
    assert float(FinalLowRate(0.3, 5, 0.05)(4)) == pytest.approx(0.3)
    # Keras asks a compiled network's schedule to describe itself when the network is written
    cosine = keras.optimizers.schedules.CosineDecay(0.1, 10)
    described = json.loads(json.dumps(FinalLowRate(cosine, 10, 0.05).get_config()))
    assert (described["steps"], described["low_rate"]) == (10, 0.05)


@pytest.mark.parametrize("mix_probability", [0.0, 1.0])
def test_a_teacher_of_another_size_sees_the_batch_with_the_same_changes(
    mix_probability: float,
) -> None:
    """The larger pictures hold each pixel four times; shrunk as shown, they are the network's."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (16, 6, 5, 3)).astype(np.uint8)
    small = coarse.repeat(8, axis=1).repeat(8, axis=2)  # (16, 48, 40, 3)
    large = small.repeat(2, axis=1).repeat(2, axis=2)  # (16, 96, 80, 3)
    seen: list[np.ndarray] = []

    def teacher(pixels: np.ndarray) -> np.ndarray:
        seen.append(pixels)
        return np.zeros((len(pixels), 2), np.float32)

    settings = TrainingSettings(batch_size=8, mix_probability=mix_probability, epochs=1)
    drawn = TrainingBatches(
        small,
        np.zeros((16, 2), np.float32),
        np.ones(16),
        settings,
        soft_labels=teacher,
        teacher_pixels=large,
    )
    for epoch in (0, 1):  # 1: low rate, half of the pictures as they are served
        drawn.start_epoch(epoch)
        shown, _ = drawn[0]
        assert seen[-1].shape == (8, 96, 80, 3)
        shrunk = seen[-1].reshape(8, 48, 2, 40, 2, 3).mean(axis=(2, 4))
        apart = np.abs(shrunk - shown).mean(axis=(1, 2, 3))
        others = np.abs(shrunk - np.roll(shown, 1, axis=0)).mean(axis=(1, 2, 3))
        assert (apart < others / 3).all(), (apart, others)


def test_answers_are_corrected_by_the_labels_of_the_picture_and_of_what_is_mixed_into_it() -> None:
    given: list[np.ndarray] = []

    def correct(answers: np.ndarray, fits: np.ndarray) -> np.ndarray:
        given.append(fits)
        return answers + 1

    labels = np.eye(16, dtype=np.float32)
    for probability, most in ((0.0, 1), (1.0, 2)):
        drawn = TrainingBatches(
            np.zeros((16, 24, 18, 3), np.uint8),
            labels,
            np.ones(16),
            TrainingSettings(batch_size=16, mix_probability=probability),
            soft_labels=lambda pixels: np.zeros((len(pixels), 16), np.float32),
            correct=correct,
        )
        _, targets = drawn[0]
        assert (targets[:, -16:] == 1).all()
        assert (given[-1][targets[:, :16] == 1] == 1).all()
        assert given[-1].sum(axis=1).max() == most
