"""How precise answers are when only the surest are taken: precision against coverage.

A curve for what any one threshold on the best leaf's probability could reach; the thresholds of a
bundle are stricter and stand at every node (``cascade.calibration``). The trade is described by
El-Yaniv and Wiener 2010, *On the foundations of noise-free selective classification*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade.evaluation.metrics import Rate

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)
PRECISIONS = (0.9, 0.95, 0.97, 0.98, 0.99)
ROUNDING = 1e-9  # 0.07 of 100 is 7.000000000000001 in floats


@dataclass(frozen=True)
class Cut:
    """The answers whose confidence is at least ``threshold``.

    ``right`` is how many of them are right, ``covered`` how many of all answers they are.
    """

    threshold: float
    right: Rate
    covered: Rate

    def to_json(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "precision": self.right.to_json(),
            "coverage": self.covered.to_json(),
        }


def cut_at(confidence: np.ndarray, right: np.ndarray, threshold: float) -> Cut:
    """``(N,)`` confidences in 0 to 1 and ``(N,)`` bool whether each answer is right."""
    taken = confidence >= threshold
    return Cut(threshold, Rate.of(right[taken]), Rate.of(taken))


def widest_cuts(
    confidence: np.ndarray, right: np.ndarray, precisions: Sequence[float] = PRECISIONS
) -> dict[float, Cut]:
    """For each precision, the cut that covers most and is still that precise.

    A precision that no cut reaches is left out. Chosen on the answers that it is judged by, so a
    bound from above for any threshold that was chosen elsewhere.
    """
    levels, counts = np.unique(-confidence, return_counts=True)
    taken = np.cumsum(counts)  # answers of equal confidence come together or not at all
    hits = np.cumsum(right[np.argsort(-confidence, kind="stable")])[taken - 1]
    found = {}
    for precision in precisions:
        reached = np.flatnonzero(hits >= precision * taken - ROUNDING)
        if len(reached):
            found[precision] = cut_at(confidence, right, float(-levels[reached[-1]]))
    return found
