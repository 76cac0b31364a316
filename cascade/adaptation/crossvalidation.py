"""Judges refitted heads on corrections that they did not see, and chooses how far to go.

The strength is the share of the way from the old heads to the refitted ones (Wortsman et al. 2022,
*Robust fine-tuning of zero-shot models*): every strength is judged from the same fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cascade.adaptation import MIN_GROUPS
from cascade.adaptation.refit import Labelled, Refitter, logits_of
from cascade.calibration import fit_temperatures
from cascade.decisions import DecisionSet
from cascade.errors import DatasetError

FOLDS = 5
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
MOST_AT_ONCE = 16  # a forecast of more corrections than this many times those given is none


@dataclass(frozen=True)
class OutOfFold:
    """The answers to corrections by heads that were fitted without their group.

    Attributes:
        before: ``(N, K)`` logits of the old heads.
        after: By strength, ``(N, K)`` logits of heads fitted to the other folds.
        half: The same at strength 1, fitted to half of the other folds.
    """

    before: np.ndarray
    after: dict[float, np.ndarray]
    half: np.ndarray


def fold_of_each(groups: Sequence[str], seed: int) -> np.ndarray:
    """``(N,)`` fold numbers, 0 to ``FOLDS`` - 1: a group is in one fold, the folds equally large.

    Raises:
        DatasetError: There are fewer than ``MIN_GROUPS`` groups.
    """
    names, number = np.unique(np.array(groups), return_inverse=True)
    if len(names) < MIN_GROUPS:
        raise DatasetError(
            f"expected corrections of at least {MIN_GROUPS} different products, received "
            f"{len(names)}: correct or confirm more pictures"
        )
    sizes = np.bincount(number)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]  # the largest first, others at random
    filled, fold = np.zeros(FOLDS, int), np.zeros(len(names), int)
    for group in order:
        fold[group] = filled.argmin()
        filled[fold[group]] += sizes[group]
    result: np.ndarray = fold[number]
    return result


def cross_validate(
    refitter: Refitter, corrections: Labelled, groups: Sequence[str], seed: int = 0
) -> OutOfFold:
    """Fit without each fold in turn, once to all others and once to half of them."""
    folds = fold_of_each(groups, seed)
    halves = np.random.default_rng(seed).permutation(np.unique(np.array(groups)))
    in_half = np.isin(np.array(groups), halves[: len(halves) // 2])
    before = logits_of(refitter.heads, corrections.values)
    full, half = before.copy(), before.copy()
    for fold in range(FOLDS):
        out = folds == fold
        for rows, found in ((~out, full), (~out & in_half, half)):
            heads = refitter.refit(corrections.subset(np.flatnonzero(rows)))
            found[out] = logits_of(heads, corrections.values[out])
    after = {share: before + share * (full - before) for share in STRENGTHS}
    return OutOfFold(before, after, half)


def losses(logits: np.ndarray, fits: np.ndarray, decisions: DecisionSet) -> np.ndarray:
    """``(N,)``: the negative log probability of what is known of each label.

    It is the sum over the decisions that the picture reaches. ``fits`` is ``(N, K)``.
    """
    result = np.zeros(len(logits))
    for columns in decisions.columns:
        scores, fit = logits[:, columns].astype(np.float64), fits[:, columns] > 0
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        right = np.where(fit, powers, 0).sum(axis=1) / powers.sum(axis=1)
        result -= np.where(fit.any(axis=1), np.log(np.maximum(right, 1e-12)), 0)
    return result


def calibrated_losses(logits: np.ndarray, fits: np.ndarray, decisions: DecisionSet) -> np.ndarray:
    """``(N,)``: the losses at the temperatures that suit these pictures best.

    What a shop's labels cost at the temperatures of home tells mostly how sure the heads are of
    themselves. Thresholds settle that; heads have to rank the outcomes better.
    """
    found = fit_temperatures(logits, fits, decisions)
    divisors = [found[decision.node] for decision in decisions]
    widths = [len(decision.outcomes) for decision in decisions]
    return losses(logits / np.repeat(divisors, widths), fits, decisions)


@dataclass(frozen=True)
class Gain:
    """How much less loss a picture has after refitting: the mean, and its standard error."""

    mean: float
    error: float

    @property
    def sure(self) -> bool:
        """Whether it is more than its standard error above 0."""
        return self.mean > self.error

    @classmethod
    def of(cls, before: np.ndarray, after: np.ndarray, groups: Sequence[str]) -> Gain:
        """From ``(N,)`` losses. Pictures of one group count as one observation."""
        _, number = np.unique(np.array(groups), return_inverse=True)
        sums = np.bincount(number, weights=before - after)
        count, total = len(sums), len(before)
        spread = float(sums.std(ddof=1)) * math.sqrt(count) / total if count > 1 else math.inf
        return cls(float(sums.sum()) / total, spread)


def farthest(gains: Mapping[float, Gain], allowed: Sequence[float]) -> tuple[float, Gain]:
    """The strength to take, and the greatest gain.

    The gain is flat around its best, and leaves go on getting right behind it: so it is the
    greatest of the ``allowed`` strengths whose gain is within a standard error of the best. 0 if
    none is allowed.
    """
    best = max((gains[s] for s in allowed or gains), key=lambda gain: gain.mean)
    near = [s for s in allowed if gains[s].mean >= best.mean - best.error]
    return max(near, default=0.0), best


def corrections_needed(count: int, full: Gain, half: Gain) -> int | None:
    """About how many corrections would make the gain sure; None if that cannot be said.

    The gain is taken to grow by the same amount with every doubling, as it did with the last one;
    its standard error falls with the root of the number.
    """
    growth = full.mean - half.mean
    for doublings in np.arange(0.5, math.log2(MOST_AT_ONCE) + 0.1, 0.5):
        gain = full.mean + growth * doublings
        if growth > 0 and gain > full.error / math.sqrt(2**doublings):
            needed = count * 2**doublings
            step = 10 if needed < 200 else 50
            return int(math.ceil(needed / step) * step)
    return None
