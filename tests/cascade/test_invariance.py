"""A label never depends on the rest of its batch: the shipped bundle, in any batch and order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.classifier import Cascade
from cascade.drawings import LEAVES, render
from cascade.pictures.decode import decode
from cascade.routing import Prediction

COUNT = 64


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade.load()


@pytest.fixture(scope="module")
def pixels(cascade: Cascade) -> np.ndarray:
    """Drawings and noise, ``(64, 120, 90, 3)`` uint8: sure answers and unsure ones."""
    import io

    pictures = []
    for number in range(COUNT):
        buffer = io.BytesIO()
        render(LEAVES[number % len(LEAVES)], number).save(buffer, "PNG")
        picture = decode(buffer.getvalue(), cascade.preprocessing)
        assert isinstance(picture, np.ndarray)
        pictures.append(picture)
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 120, 90, 3))
    share = np.linspace(0, 0.8, COUNT)[:, None, None, None]
    return (np.stack(pictures) * (1 - share) + noise * share).astype(np.uint8)


@pytest.fixture(scope="module")
def alone(cascade: Cascade, pixels: np.ndarray) -> list[Prediction]:
    return [cascade.classify(picture[None])[0] for picture in pixels]


def assert_same(found: Prediction, expected: Prediction) -> None:
    for name in ("category_confidence", "gender_confidence", "type_confidence", "confidence"):
        first, second = getattr(found, name), getattr(expected, name)
        assert (first is None) == (second is None)
        assert first is None or abs(first - second) <= 1e-4
    assert abs(found.margin - expected.margin) <= 2e-4
    if expected.margin > 1e-3:  # a tie may fall either way, a decided one may not
        assert found.best_leaf == expected.best_leaf


@pytest.mark.parametrize("size", [7, 64])  # ``alone`` is size 1
def test_labels_are_the_same_at_every_batch_size(
    cascade: Cascade, pixels: np.ndarray, alone: list[Prediction], size: int
) -> None:
    for start in range(0, COUNT, size):
        batch = cascade.classify(pixels[start : start + size])
        for found, expected in zip(batch, alone[start : start + size], strict=True):
            assert_same(found, expected)


@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(COUNT)), size=st.sampled_from([7, 64]))
def test_labels_are_the_same_in_every_order(
    cascade: Cascade, pixels: np.ndarray, alone: list[Prediction], order: list[int], size: int
) -> None:
    chosen = order[:size]
    for found, number in zip(cascade.classify(pixels[chosen]), chosen, strict=True):
        assert_same(found, alone[number])
