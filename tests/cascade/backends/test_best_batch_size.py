"""The batch that pays, on devices whose speed is known."""

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


def test_what_costs_the_same_for_any_number_is_given_all_there_is() -> None:
    assert Device(1.0, 0.0).batch(1024) == 1024
    assert Device(1.0, 0.0).batch(1000) == 512  # sizes double


def test_what_costs_by_the_picture_gets_small_batches() -> None:
    device = Device(0.0, 1.0)
    assert device.batch(1024) == 32
    assert max(device.sizes) == 64  # and no more is tried


def test_doubling_ends_where_it_brings_less_than_a_twentieth() -> None:
    # 8 + n seconds: 256 to 512 pictures bring (264/256) / (520/512) = 1.0154, 128 to 256 1.030,
    # 64 to 128 1.0588
    assert Device(8.0, 1.0).batch(4096) == 128


def test_memory_that_runs_out_ends_it_too() -> None:
    assert Device(1.0, 0.0, memory=200).batch(1024) == 128


@pytest.mark.parametrize("most", [1, 7, 31])
def test_never_more_than_there_is_at_once(most: int) -> None:
    assert Device(1.0, 0.0).batch(most) == most


def test_on_a_cpu_nothing_is_measured() -> None:
    cascade = Cascade.load()
    assert cascade.best_batch_size(1024) == BATCH
    assert cascade.best_batch_size(16) == 16
