"""Thresholds that keep a promised precision: Learn then Test with split fixed sequence testing.

Angelopoulos et al., *Learn then Test*, Annals of Applied Statistics 19 (2025). One strictness moves
the thresholds of all leaves together. One half of the products proposes the order in which
strictnesses are tested; the other half tests them with exact bounds, until the first fails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cascade.errors import DatasetError
from cascade.evaluation.exact_bounds import lower_bound, needed
from cascade.routing import Routing

STRICTNESS = tuple(float(step) for step in np.arange(8.0, -2.01, -0.25))  # added to log odds
_SHARPEST = 1e-6  # of a probability, for its log odds
_LEARNING_CONFIDENCES = (0.9999, 0.999, 0.99, 0.95, 0.9, 0.8, 0.5)


@dataclass(frozen=True)
class Guarantee:
    """Thresholds of the leaves, and the pictures that tested them.

    Attributes:
        thresholds: Of all nodes; those above the leaves are as they were.
        strictness: What was added to the log odds of the leaves' thresholds.
        precision: The guaranteed share of right labels among sure ones, 0 to 1.
        confidence: Of the guarantee, 0 to 1.
        sure: Sure labels among the tested pictures.
        right: Those that are right.
        tested: Pictures of the testing half.
    """

    thresholds: Mapping[str, float]
    strictness: float
    precision: float
    confidence: float
    sure: int
    right: int
    tested: int


def halves(
    labels: Sequence[str], groups: Sequence[str], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to learn from and to test on: no group is in both.

    Tested is one picture of each group, because pictures of a product are right or wrong together,
    and only where the label is fully known. A picture without a group is its own.
    """
    source = np.random.default_rng(seed)
    names = [group or f"\0{row}" for row, group in enumerate(groups)]
    order = source.permutation(len(labels))
    distinct = list(dict.fromkeys(names[row] for row in order))
    learning = set(distinct[: len(distinct) // 2])
    learn = [row for row in range(len(labels)) if names[row] in learning]
    seen: set[str] = set()
    test = []
    for row in order:
        if names[row] not in learning and names[row] not in seen and "?" not in labels[row]:
            seen.add(names[row])
            test.append(int(row))
    return np.array(learn, int), np.array(sorted(test), int)


def with_strictness(routing: Routing, strictness: float) -> Routing:
    """The routing with ``strictness`` added to the log odds of each leaf's threshold."""
    moved = {
        leaf: _moved(routing.thresholds.get(leaf, 0.0), strictness) for leaf in _leaves(routing)
    }
    return replace(routing, thresholds={**routing.thresholds, **moved})


def guaranteed(
    routing: Routing,
    learn: tuple[np.ndarray, Sequence[str]],
    test: tuple[np.ndarray, Sequence[str]],
    precision: float,
    confidence: float,
) -> Guarantee:
    """The strictness with the most sure labels among those that are certified.

    Args:
        routing: Fitted without the testing pictures.
        learn: ``(N, K)`` logits and the labels of the learning pictures; parts may be unknown.
        test: The same of the testing pictures, fully known.
        precision: The share of right labels to guarantee, 0 to 1.
        confidence: Of the guarantee, 0 to 1.

    Raises:
        DatasetError: nothing is certified.
    """
    known = [row for row, label in enumerate(learn[1]) if "?" not in label]
    learned = {
        step: _counted(
            with_strictness(routing, step), learn[0][known], [learn[1][n] for n in known]
        )
        for step in STRICTNESS
    }
    # the likeliest to be certified first, the stricter one of equals; the test half has no say
    order = sorted(STRICTNESS, key=lambda step: (-_promise(*learned[step], precision), -step))
    best: Guarantee | None = None
    for step in order:
        strict = with_strictness(routing, step)
        sure, right = _counted(strict, *test)
        if not sure or lower_bound(right, sure, confidence) < precision:
            break
        if best is None or sure > best.sure:
            best = Guarantee(
                strict.thresholds, step, precision, confidence, sure, right, len(test[1])
            )
    if best is None:
        raise DatasetError(
            f"expected enough pictures to guarantee {precision:g} at confidence {confidence:g}; "
            f"{len(test[1])} pictures of different products were left to test, of which "
            f"{needed(0, precision, confidence)} sure labels without a mistake would do: add "
            "labelled pictures, or leave --guarantee out"
        )
    return best


def _promise(sure: int, right: int, precision: float) -> float:
    """How clearly the learning half supports a strictness: the highest bound that reaches it."""
    if not sure:
        return 0.0
    for confidence in _LEARNING_CONFIDENCES:
        if lower_bound(right, sure, confidence) >= precision:
            return confidence
    return 0.0


def _counted(routing: Routing, logits: np.ndarray, labels: Sequence[str]) -> tuple[int, int]:
    """How many labels are sure, and how many of those are right."""
    if not len(labels):
        return 0, 0
    found = [
        own.label == label
        for own, label in zip(routing.label(logits), labels, strict=True)
        if not own.needs_review
    ]
    return len(found), sum(found)


def _moved(threshold: float, strictness: float) -> float:
    if threshold > 1:  # no label stops there
        return threshold
    p = min(max(threshold, _SHARPEST), 1 - _SHARPEST)
    return 1 / (1 + math.exp(-(math.log(p / (1 - p)) + strictness)))


def _leaves(routing: Routing) -> tuple[str, ...]:
    return tuple(routing.taxonomy.leaves)
