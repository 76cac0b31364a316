"""Exact binomial bounds, and how many pictures certify a precision.

Clopper and Pearson, *The use of confidence or fiducial limits illustrated in the case of the
binomial*, Biometrika 26 (1934): a bound is the share at which the tail beyond the count has exactly
the probability that may be wrong. Their promise holds for every share and sample size.
"""

from __future__ import annotations

import math
from functools import lru_cache

_HALVINGS = 100  # more than a float has bits


@lru_cache(maxsize=10_000)  # simulations ask for the same ones
def lower_bound(right: int, looked_at: int, confidence: float) -> float:
    """The one-sided Clopper-Pearson bound: the share is above it with at least `confidence`."""
    _check(right, looked_at, confidence)
    if right == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _at_most(looked_at - right, looked_at, 1 - middle) > 1 - confidence:
            high = middle
        else:
            low = middle
    return low


def upper_bound(right: int, looked_at: int, confidence: float) -> float:
    """The one-sided Clopper-Pearson bound from above."""
    _check(right, looked_at, confidence)
    return 1 - lower_bound(looked_at - right, looked_at, confidence)


@lru_cache(maxsize=10_000)
def needed(mistakes: int, precision: float, confidence: float) -> int:
    """The smallest sample that certifies `precision` if it holds just so many mistakes."""
    if mistakes < 0 or not 0 < precision < 1 or not 0 < confidence < 1:
        raise ValueError(
            "expected mistakes of 0 or more, and a precision and a confidence between 0 and 1; "
            f"received {mistakes}, {precision} and {confidence}"
        )
    low, high = mistakes, mistakes + 1
    while _at_most(mistakes, high, 1 - precision) > 1 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _at_most(mistakes, middle, 1 - precision) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(count: int, of: int, share: float) -> float:
    """The probability of `count` or fewer among `of` draws, each with probability `share`."""
    if share <= 0 or count >= of:
        return 1.0
    if share >= 1:
        return 0.0
    log_in, log_out = math.log(share), math.log1p(-share)
    total = math.lgamma(of + 1)
    terms = (
        total - math.lgamma(i + 1) - math.lgamma(of - i + 1) + i * log_in + (of - i) * log_out
        for i in range(count + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _check(right: int, looked_at: int, confidence: float) -> None:
    if not 0 <= right <= looked_at or looked_at == 0 or not 0 < confidence < 1:
        raise ValueError(
            "expected 0 ≤ right ≤ looked at, a sample that is not empty and a confidence between "
            f"0 and 1; received {right} of {looked_at} at {confidence}"
        )
