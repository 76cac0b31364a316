"""Fits linear heads from nothing to features that are known, in their main directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.adaptation.refit import loss_gradient
from cascade.decisions import DecisionSet

DIRECTIONS = 256
STEPS = 150
RATE = 0.05  # Adam's first one; it falls to 0 by a cosine
PENALTY = 1e-3


@dataclass(frozen=True)
class MainDirections:
    """The directions of greatest variance of some features, at one scale.

    Attributes:
        middle: ``(F,)``, the mean of the features.
        directions: ``(F, D)``, orthogonal and equally long.
    """

    middle: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> MainDirections:
        """The directions of ``(N, F)`` features, at most ``DIRECTIONS``."""
        middle = values.mean(axis=0)
        centred = (values - middle).astype(np.float64)
        powers, directions = np.linalg.eigh(centred.T @ centred / max(1, len(centred)))
        kept = directions[:, -DIRECTIONS:]
        scale = np.sqrt(max(float(powers[-DIRECTIONS:].mean()), 1e-12))
        return cls(middle, kept / scale)

    def along(self, values: np.ndarray) -> np.ndarray:
        """``(N, F)`` to ``(N, D + 1)`` float32: along the directions, and a 1 for the bias."""
        found = (values - self.middle) @ self.directions
        return np.column_stack([found, np.ones(len(found))]).astype(np.float32)

    def as_weights(self, heads: np.ndarray) -> np.ndarray:
        """``(D + 1, K)`` heads over these directions as ``(F + 1, K)`` heads over features."""
        weights = self.directions @ heads[:-1]
        result: np.ndarray = np.vstack([weights, heads[-1] - self.middle @ weights])
        return result.astype(np.float32)


def fit_heads(
    along: np.ndarray,
    fits: np.ndarray,
    decisions: DecisionSet,
    *,
    weights: np.ndarray | None = None,
    penalty: float = PENALTY,
) -> np.ndarray:
    """``(D + 1, K)`` heads by full-batch Adam from zero.

    Args:
        along: ``(N, D + 1)``, as of ``MainDirections.along``.
        fits: ``(N, K)`` targets, as of ``cascade.data.dataset.targets``.
        decisions: The decisions of the K columns.
        weights: ``(N,)``, how much each row counts; all equally if None.
        penalty: How much the squares of the heads weigh in the loss.
    """
    shares = np.ones(len(along)) if weights is None else weights
    shares = (shares / shares.sum())[:, None].astype(np.float32)
    heads = np.zeros((along.shape[1], decisions.width), np.float32)
    first, second = np.zeros_like(heads), np.zeros_like(heads)
    for step in range(1, STEPS + 1):
        error = shares * loss_gradient(along @ heads, fits, decisions)
        gradient = along.T @ error + 2 * penalty * heads
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        rate = RATE * 0.5 * (1 + np.cos(np.pi * step / (STEPS + 1)))
        move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        heads = (heads - rate * move).astype(np.float32)
    return heads
