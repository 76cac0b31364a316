"""What a training batch is made of, on counts worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.augmentation import NONE, Augmentation, augment
from cascade.dataset import Item
from cascade.training import TrainingBatches, TrainingSettings, draw_weights


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


def batches(count: int, draw: np.ndarray, **settings: object) -> TrainingBatches:
    chosen = TrainingSettings(**{"augmentation": NONE, "batch_size": 8, **settings})  # type: ignore[arg-type]
    return TrainingBatches(numbered(count), np.arange(count)[:, None], draw, chosen)


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
