"""What a training batch is made of, on counts worked out by hand."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from cascade.data.dataset import Item
from cascade.training.augmentation import NONE, Augmentation, augment
from cascade.training.batches import Teach
from cascade.training.fit import Settling, TrainingBatches, TrainingSettings, draw_weights
from cascade.training.mixup import mix


def test_small_classes_and_small_shops_are_drawn_more_often() -> None:
    items = [Item("", "a", source="big")] * 16 + [Item("", "a", source="small")] * 4
    weights = draw_weights([*items, Item("", "b", source="big")], balance=0.5)
    assert weights[0] == pytest.approx(1 / 4)
    assert weights[16] == pytest.approx(1 / 2)
    assert weights[20] == pytest.approx(1)
    assert draw_weights(items, balance=0).tolist() == [1.0] * 20


def test_drawings_keep_to_their_share_however_many_there_are() -> None:
    items = [Item("", "a")] * 50 + [Item("", "a", source="drawings")] * 500
    weights = draw_weights(items, balance=0.5, drawn_share=0.1)
    assert weights[50:].sum() / weights.sum() == pytest.approx(0.1)


def numbered(count: int) -> np.ndarray:
    """Pictures that carry their number in every pixel."""
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 24, 18, 3)
    )


def batches(
    count: int, draw: np.ndarray, teach: Teach | np.ndarray | None = None, **settings: object
) -> TrainingBatches:
    chosen = TrainingSettings(**{"augmentation": NONE, "batch_size": 8, **settings})  # type: ignore[arg-type]
    answers = np.arange(count)[:, None]
    return TrainingBatches(numbered(count), answers, draw, chosen, teach=teach)


def test_an_even_epoch_shows_every_picture_once_with_its_own_answer() -> None:
    drawn = batches(50, np.ones(50))
    seen = []
    for number in range(len(drawn)):
        pictures, answers = drawn[number]
        assert (pictures[:, 0, 0, 0] == answers[:, 0]).all()
        seen += answers[:, 0].tolist()
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


def test_augmentation_keeps_shape_and_can_be_switched_off() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 18, 3)).astype(np.uint8)
    assert (augment(picture, NONE, np.random.default_rng(0)) == picture).all()
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


def test_mixed_pictures_show_what_their_shares_say() -> None:
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


def test_a_share_of_the_pictures_stays_as_it_is() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (400, 12, 9, 3)).astype(np.uint8)
    mixed, _, own = mix(pictures, 0.25, np.random.default_rng(1))
    same = (mixed == pictures).all(axis=(1, 2, 3))
    assert 0.65 < same.mean() < 0.9
    assert (own[~same] < 1).all()
    untouched, _, own = mix(pictures, 0.0, np.random.default_rng(1))
    assert (untouched == pictures).all() and (own == 1).all()


def test_a_teacher_is_asked_about_the_pictures_as_they_are_shown() -> None:
    def brightness(pixels: np.ndarray) -> np.ndarray:
        return pixels.mean(axis=(1, 2, 3), keepdims=True)[:, 0, 0]

    drawn = batches(50, np.ones(50), teach=brightness, mix=1.0)
    shown, answers = drawn[2]
    assert answers.shape == (8, 4) and answers.dtype == np.float32  # own, partner's, share, taught
    assert answers[:, 3] == pytest.approx(shown.mean(axis=(1, 2, 3)), abs=1e-4)
    expected = answers[:, 2] * answers[:, 0] + (1 - answers[:, 2]) * answers[:, 1]
    assert answers[:, 3] == pytest.approx(expected, abs=1.5)  # pixels are whole numbers


def test_what_was_taught_before_is_mixed_as_the_pictures_are() -> None:
    said = np.linspace(0, 1, 50)[:, None]
    drawn = batches(50, np.ones(50), teach=said, mix=1.0)
    _, answers = drawn[1]
    first, second = answers[:, 0].astype(int), answers[:, 1].astype(int)
    expected = answers[:, 2] * said[first, 0] + (1 - answers[:, 2]) * said[second, 0]
    assert answers[:, 3] == pytest.approx(expected, abs=1e-6)
    plain = batches(50, np.ones(50), teach=said)[1][1]
    assert plain[:, 1] == pytest.approx(said[plain[:, 0].astype(int), 0])


def test_while_settling_half_of_the_pictures_are_plain_and_none_is_mixed() -> None:
    random = np.random.default_rng(2)
    pixels = random.integers(0, 256, (400, 24, 18, 3)).astype(np.uint8)
    settings = TrainingSettings(batch_size=400, epochs=2, settle=1, mix=0.5)
    drawn = TrainingBatches(pixels, np.arange(400)[:, None], np.ones(400), settings)

    def plain(epoch: int) -> tuple[float, float, np.ndarray]:
        drawn.start_epoch(epoch)
        shown, answers = drawn[0]
        own = pixels[answers[:, 0].astype(int)]
        same = (shown == own).all(axis=(1, 2, 3))
        mirrored = (shown == own[:, :, ::-1]).all(axis=(1, 2, 3))
        return float(same.mean()), float(mirrored.mean()), answers[:, 2]

    same, mirrored, share = plain(1)
    assert same + mirrored < 0.02
    assert (share < 1).any()
    same, mirrored, share = plain(2)
    assert 0.18 < same < 0.32 and 0.18 < mirrored < 0.32
    assert (share == 1).all()


def test_the_rate_is_low_while_settling() -> None:
    falling = Settling(lambda step: 1.0 - step / 100, 10, 0.05)
    assert [float(falling(step)) for step in (0, 9, 10, 50)] == pytest.approx(
        [1.0, 0.91, 0.05, 0.05]
    )
    assert float(Settling(0.3, 5, 0.05)(4)) == pytest.approx(0.3)
    # Keras asks a compiled network's schedule to describe itself when the network is written
    cosine = keras.optimizers.schedules.CosineDecay(0.1, 10)
    described = json.loads(json.dumps(Settling(cosine, 10, 0.05).get_config()))
    assert (described["steps"], described["low"]) == (10, 0.05)
