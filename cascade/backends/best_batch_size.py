"""Measures the best batch size on a GPU when the networks are loaded.

A GPU gets faster with larger batches up to a size that depends on the GPU and on the networks. A
larger batch only takes memory and delays the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

SMALLEST = 32
REPEATS = 3
MIN_SPEEDUP = 1.05  # least gain in pictures per second from doubling the batch


def best_batch_size(
    run: Callable[[np.ndarray], object],
    shape: tuple[int, int, int],
    limit: int,
    *,
    out_of_memory: tuple[type[Exception], ...] = (MemoryError,),
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Double the batch size from ``SMALLEST`` as long as throughput grows; return the best size.

    For each size, the fastest of ``REPEATS`` passes counts, after one warm-up pass. The search ends
    at the first size that raises one of ``out_of_memory``, or that is less than ``MIN_SPEEDUP``
    times as fast as the size before.

    Args:
        run: The network; receives ``(n, *shape)`` uint8 pictures.
        shape: Height, width and channels of a picture.
        limit: The largest size allowed, also where it is below ``SMALLEST``.
        out_of_memory: The exceptions that mean that a batch does not fit the device.
        clock: Returns seconds.
    """
    size, best, rate = min(SMALLEST, limit), min(SMALLEST, limit), 0.0
    while size <= limit:
        pixels = np.full((size, *shape), 255, np.uint8)
        try:
            found = size / _fastest(lambda given=pixels: run(given), clock)  # type: ignore[misc]
        except out_of_memory:
            break
        if found < MIN_SPEEDUP * rate:
            break
        best, rate = size, found
        size *= 2
    return best


def _fastest(step: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of the fastest pass, never 0."""
    step()
    taken = []
    for _ in range(REPEATS):
        began = clock()
        step()
        taken.append(clock() - began)
    return max(min(taken), 1e-9)
