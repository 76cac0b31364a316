"""The best batch size, on devices of known speed."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.backends import BATCH
from cascade.backends.best_batch_size import best_batch_size
from cascade.classifier import Cascade


class Device:
    """Takes ``start`` seconds a call and ``each`` a picture; full at ``memory`` pictures."""

    def __init__(self, start: float, each: float, memory: int = 10**6) -> None:
        self.start, self.each, self.memory, self.now = start, each, memory, 0.0
        self.sizes: list[int] = []

    def __call__(self, pixels: np.ndarray) -> None:
        assert pixels.shape[1:] == (4, 3, 3) and pixels.dtype == np.uint8
        self.sizes.append(len(pixels))
        if len(pixels) > self.memory:
            raise MemoryError
        self.now += self.start + self.each * len(pixels)

    def batch(self, most: int) -> int:
        return best_batch_size(self, (4, 3, 3), most, clock=lambda: self.now)


def test_constant_cost_per_batch_gives_the_limit() -> None:
    assert Device(1.0, 0.0).batch(1024) == 1024
    assert Device(1.0, 0.0).batch(1000) == 512  # sizes double


def test_cost_per_picture_gives_the_smallest_batch() -> None:
    device = Device(0.0, 1.0)
    assert device.batch(1024) == 32
    assert max(device.sizes) == 64  # and no more is tried


def test_search_ends_where_doubling_gains_less_than_5_percent() -> None:
    # 8 + n seconds: 256 to 512 pictures bring (264/256) / (520/512) = 1.0154, 128 to 256 1.030,
    # 64 to 128 1.0588
    assert Device(8.0, 1.0).batch(4096) == 128


def test_search_ends_where_memory_runs_out() -> None:
    assert Device(1.0, 0.0, memory=200).batch(1024) == 128


@pytest.mark.parametrize("most", [1, 7, 31])
def test_best_batch_size_is_at_most_the_limit(most: int) -> None:
    assert Device(1.0, 0.0).batch(most) == most


def test_nothing_is_measured_on_a_cpu() -> None:
    cascade = Cascade.load()
    assert cascade.best_batch_size(1024) == BATCH
    assert cascade.best_batch_size(16) == 16
