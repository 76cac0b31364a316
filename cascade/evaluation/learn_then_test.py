"""Choose a strictness that keeps a promise: fixed sequence testing.

Angelopoulos, Bates, Candès, Jordan and Lei, *Learn then Test: Calibrating Predictive Algorithms to
Achieve Risk Control*, Annals of Applied Statistics 19 (2025). A lower threshold may have a higher
precision than the one before, so whoever picks the best-looking one picks a lucky one. Here the
thresholds have an order that is fixed before anybody sees which answers are right. They are tested
one by one, each at the whole confidence, until the first that fails; those before it are certified.
The probability that any of them breaks the promise is at most one minus the confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cascade.evaluation.exact_bounds import lower_bound


@dataclass(frozen=True)
class Tested:
    """One threshold of a sequence.

    Attributes:
        threshold: Labels with this probability or more are kept; 0 keeps all.
        kept: Labels of the sample that are kept.
        right: Those that are right.
        low: The lower bound of the precision, 0 to 1; 0 if no label is kept.
        certified: The bound of this threshold, and of all that were tested before, reaches the
            precision.
    """

    threshold: float
    kept: int
    right: int
    low: float
    certified: bool


def fixed_sequence(
    thresholds: Sequence[float],
    score: Sequence[float],
    right: Sequence[bool],
    precision: float,
    confidence: float,
) -> list[Tested]:
    """Test each threshold in the given order, which must not depend on ``right``.

    Args:
        thresholds: In the order of the tests; usually the strictest first.
        score: The probability of each label of the sample.
        right: Whether each label is right.
        precision: The share of right labels to certify, 0 to 1.
        confidence: The confidence of the whole sequence, 0 to 1.
    """
    found: list[Tested] = []
    passing = True
    for threshold in thresholds:
        kept = [good for own, good in zip(score, right, strict=True) if own >= threshold]
        low = lower_bound(sum(kept), len(kept), confidence) if kept else 0.0
        passing = passing and bool(kept) and low >= precision
        found.append(Tested(threshold, len(kept), sum(kept), low, passing))
    return found
