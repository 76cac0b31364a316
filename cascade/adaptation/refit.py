"""Refits linear heads to a few corrected pictures, with replay of what they were trained on.

The loss is the mean cross-entropy of the corrections, plus that of replayed training features, half
of it against their labels and half against the old heads' own answers (Li and Hoiem 2017, *Learning
without Forgetting*), plus a penalty on the change. A step sees all corrections and other replayed
features, so that thousands of them cost no more than one batch. The change is sought in the main
directions of the replayed features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.decisions import DecisionSet
from cascade.routing import softmax

DIRECTIONS = 256
STEPS = 120
RATE = 0.006  # Adam's first one; it falls to 0 by a cosine
PENALTY = 1e-3
REPLAY_WEIGHT = 2.0
OLD_ANSWERS = 0.5  # share of the replay's loss that compares with the old heads
BATCH = 2000  # replayed features in a step
HIDDEN = -1e4  # the logit of an outcome that does not take part


@dataclass(frozen=True)
class Labelled:
    """Features with what they stand for.

    Attributes:
        values: ``(N, F)`` float32.
        fits: ``(N, K)`` targets.
        views: ``(V, N, F)`` float32, other views of the same pictures; None if there are none.
    """

    values: np.ndarray
    fits: np.ndarray
    views: np.ndarray | None = None

    def subset(self, rows: np.ndarray) -> Labelled:
        """The pictures of ``rows``."""
        views = None if self.views is None else self.views[:, rows]
        return Labelled(self.values[rows], self.fits[rows], views)

    def all_views(self) -> Labelled:
        """Each view as a picture of its own."""
        if self.views is None:
            return self
        values = np.concatenate([self.values, *self.views])
        return Labelled(values, np.tile(self.fits, (1 + len(self.views), 1)))


def logits_of(heads: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``(N, F)`` features to ``(N, K)`` logits of ``(F + 1, K)`` heads."""
    result: np.ndarray = values @ heads[:-1] + heads[-1]
    return result


class Refitter:
    """Heads, and the replayed features that hold them; ``refit`` returns changed ones."""

    def __init__(self, heads: np.ndarray, replay: Labelled, decisions: DecisionSet) -> None:
        """Find the main directions of the replayed features.

        Args:
            heads: ``(F + 1, K)``, with the temperatures divided out.
            replay: At least one picture.
            decisions: The decisions of the K columns.
        """
        self.heads, self.decisions = heads.astype(np.float32), decisions
        self._middle = replay.values.mean(axis=0)
        centred = replay.values - self._middle
        powers, directions = np.linalg.eigh(centred.T @ centred / len(centred))
        count = min(DIRECTIONS, len(powers))
        scale = np.sqrt(max(float(powers[-count:].mean()), 1e-12))
        self._directions = (directions[:, -count:] / scale).astype(np.float32)  # (F, D)
        self._replayed = self._project(replay.values)
        self._replayed_fits = replay.fits
        self._replayed_logits = logits_of(self.heads, replay.values)
        self._old_answers = _answers(self._replayed_logits, decisions)

    def refit(self, corrections: Labelled, seed: int = 0) -> np.ndarray:
        """``(F + 1, K)`` heads after full-batch Adam over the corrections and batches of replay."""
        random = np.random.default_rng(seed)
        corrections = corrections.all_views()
        own, count = self._project(corrections.values), len(corrections.fits)
        own_logits = logits_of(self.heads, corrections.values)
        size = min(BATCH, len(self._replayed))
        shares = (1 / count, REPLAY_WEIGHT / size)
        weights = np.repeat(shares, (count, size))[:, None].astype(np.float32)
        change = np.zeros((self._replayed.shape[1], self.decisions.width), np.float32)
        first, second = np.zeros_like(change), np.zeros_like(change)
        for step in range(1, STEPS + 1):
            rows = random.choice(len(self._replayed), size, replace=False)
            x = np.concatenate([own, self._replayed[rows]])
            start = np.concatenate([own_logits, self._replayed_logits[rows]])
            fits = np.concatenate([corrections.fits, self._replayed_fits[rows]])
            now = start + x @ change
            error = loss_gradient(now, fits, self.decisions)
            drift = _answers(now[count:], self.decisions) - self._old_answers[rows]
            drift *= _reached(fits[count:], self.decisions)
            error[count:] += OLD_ANSWERS * (drift - error[count:])
            gradient = x.T @ (weights * error) + 2 * PENALTY * change
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / (STEPS + 1)))
            move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            change = (change - rate * move).astype(np.float32)
        result: np.ndarray = self.heads + self._unprojected(change)
        return result

    def _project(self, values: np.ndarray) -> np.ndarray:
        """``(N, F)`` to ``(N, D + 1)``: along the directions, and a 1 for the bias."""
        along = (values - self._middle) @ self._directions
        return np.column_stack([along, np.ones(len(along), np.float32)]).astype(np.float32)

    def _unprojected(self, change: np.ndarray) -> np.ndarray:
        """``(D + 1, K)`` to ``(F + 1, K)``: the same change as weights of features."""
        weights = self._directions @ change[:-1]
        result: np.ndarray = np.vstack([weights, change[-1] - self._middle @ weights])
        return result


def loss_gradient(logits: np.ndarray, fits: np.ndarray, decisions: DecisionSet) -> np.ndarray:
    """``(N, K)``: the gradient by the logits of the loss that training has.

    ``cascade.training.losses.decision_loss``: the outcomes that fit, by their mean, against the
    others. A decision that the picture does not reach has no part in it.
    """
    result = np.zeros_like(logits)
    for columns in decisions.columns:
        fit, scores = fits[:, columns], logits[:, columns]
        count = np.maximum(fit.sum(axis=1), 1.0)
        together = (scores * fit).sum(axis=1) / count + np.log(count)
        others = np.where(fit > 0, HIDDEN, scores)
        top = others.max(axis=1, keepdims=True)
        powers = np.exp(others - top)
        total = powers.sum(axis=1, keepdims=True)
        apart = np.clip(together - (top + np.log(total))[:, 0], -50, 50)
        wrong = 1 / (1 + np.exp(apart))
        raised, lowered = -(wrong / count)[:, None], wrong[:, None] * powers / total
        result[:, columns] = np.where(fit > 0, raised, lowered) * fit.any(axis=1, keepdims=True)
    return result


def _answers(logits: np.ndarray, decisions: DecisionSet) -> np.ndarray:
    """``(N, K)`` probabilities of the outcomes of each decision."""
    parts = [softmax(logits[:, columns]) for columns in decisions.columns]
    return np.concatenate(parts, axis=1)


def _reached(fits: np.ndarray, decisions: DecisionSet) -> np.ndarray:
    """``(N, K)`` bool: whether the picture is below the decision of each column."""
    parts = [
        np.repeat(fits[:, columns].any(axis=1, keepdims=True), columns.stop - columns.start, axis=1)
        for columns in decisions.columns
    ]
    return np.concatenate(parts, axis=1)
