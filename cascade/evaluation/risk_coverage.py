"""Precision against coverage when only the most confident answers are accepted.

This is what one threshold on the probability of the best leaf can reach. A bundle has a threshold
for each node instead, chosen more strictly (``cascade.calibration``). The trade-off is described in
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
class OperatingPoint:
    """Precision and coverage of the answers whose confidence is at least ``threshold``.

    ``precision`` counts how many accepted answers are right, ``coverage`` how many of all answers
    are accepted.
    """

    threshold: float
    precision: Rate
    coverage: Rate

    def to_json(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "precision": self.precision.to_json(),
            "coverage": self.coverage.to_json(),
        }


def operating_point(confidence: np.ndarray, right: np.ndarray, threshold: float) -> OperatingPoint:
    """One point, from ``(N,)`` confidences (0 to 1) and ``(N,)`` bool whether each is right."""
    accepted = confidence >= threshold
    return OperatingPoint(threshold, Rate.of(right[accepted]), Rate.of(accepted))


def coverage_at_precision(
    confidence: np.ndarray, right: np.ndarray, precisions: Sequence[float] = PRECISIONS
) -> dict[float, OperatingPoint]:
    """The point of highest coverage that still has each precision; unreachable ones are left out.

    The threshold is chosen on the answers that it is measured on. So the coverage is an upper bound
    for any threshold that is chosen on other pictures.
    """
    levels, counts = np.unique(-confidence, return_counts=True)
    accepted = np.cumsum(counts)  # answers of equal confidence are accepted together
    hits = np.cumsum(right[np.argsort(-confidence, kind="stable")])[accepted - 1]
    found = {}
    for precision in precisions:
        reached = np.flatnonzero(hits >= precision * accepted - ROUNDING)
        if len(reached):
            found[precision] = operating_point(confidence, right, float(-levels[reached[-1]]))
    return found
