"""How many pictures at once pay on a device: measured when the networks are loaded.

A GPU is the quicker the more pictures it is given, up to a size that depends on it and on the
networks; beyond it a batch only takes memory and delays the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

SMALLEST = 32
REPEATS = 3
WORTH = 1.05  # doubling a batch must bring at least so much


def batch_that_pays(
    run: Callable[[np.ndarray], object],
    shape: tuple[int, int, int],
    most: int,
    *,
    too_large: tuple[type[Exception], ...] = (MemoryError,),
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """The largest batch of at most ``most`` pictures that doubling still paid for.

    ``run`` is given ``(n, *shape)`` uint8 pictures, n doubling from ``SMALLEST``; of each size the
    quickest of ``REPEATS`` passes counts, after one that warms up. The first size that raises one
    of ``too_large``, or is less than ``WORTH`` times as quick as the size before, ends it. The
    answer is at most ``most``, also where that is below ``SMALLEST``.
    """
    size, best, rate = min(SMALLEST, most), min(SMALLEST, most), 0.0
    while size <= most:
        pixels = np.full((size, *shape), 255, np.uint8)
        try:
            found = size / _quickest(lambda given=pixels: run(given), clock)  # type: ignore[misc]
        except too_large:
            break
        if found < WORTH * rate:
            break
        best, rate = size, found
        size *= 2
    return best


def _quickest(step: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds, never 0."""
    step()
    taken = []
    for _ in range(REPEATS):
        began = clock()
        step()
        taken.append(clock() - began)
    return max(min(taken), 1e-9)
