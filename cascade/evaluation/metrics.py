"""Measures of a cascade's answers, as plain functions of predictions and labels.

A label may be partly known (``shoes/?/boots``): it is given as the set of leaves that fit it, and
a measure counts it where the set settles the question and leaves it out where it does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade.taxonomy import Taxonomy, lineage

Z_95 = 1.959964  # two-sided 95 %


@dataclass(frozen=True)
class Rate:
    """``right`` of ``count``, a share with its 95 % Wilson interval; no share where none counts."""

    right: int
    count: int

    @property
    def value(self) -> float | None:
        return self.right / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.count)

    @classmethod
    def of(cls, hits: Iterable[Any]) -> Rate:
        """How many of ``hits`` are true."""
        values = np.asarray(list(hits), bool)
        return cls(int(values.sum()), len(values))

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "value": self.value,
            "low": low,
            "high": high,
            "right": self.right,
            "count": self.count,
        }


def wilson(right: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) where nothing was counted.

    ``z`` is the number of standard deviations: 1.96 for 95 % on both sides. Wilson 1927, Journal
    of the American Statistical Association 22.
    """
    if count < 0 or not 0 <= right <= count:
        raise ValueError(f"expected 0 <= right <= count, received {right} of {count}")
    if not count:
        return 0.0, 1.0
    share = right / count
    centre = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def hierarchical_scores(
    truths: Sequence[str], answers: Sequence[str]
) -> tuple[float, float, float]:
    """Hierarchical precision, recall and F1 of answers anywhere in the tree.

    Each label counts as the set of itself and what lies above it, the root left out; the sets'
    common part is what is right. Summed over the pictures (micro). 0 where nothing is counted.
    Kiritchenko, Matwin, Famili 2005.
    """
    common = claimed = wanted = 0
    for truth, answer in zip(truths, answers, strict=True):
        true, said = set(lineage(truth)), set(lineage(answer))
        common += len(true & said)
        claimed += len(said)
        wanted += len(true)
    precision = common / claimed if claimed else 0.0
    recall = common / wanted if wanted else 0.0
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def tree_distance(first: str, second: str) -> int:
    """How many edges of the tree lie between two nodes; 0 for the same one."""
    return len(set(lineage(first)) ^ set(lineage(second)))


def mean_tree_distance(truths: Sequence[str], answers: Sequence[str]) -> float | None:
    """The mean distance of the wrong answers from the truth; None if none is wrong."""
    wrong = [
        tree_distance(truth, answer)
        for truth, answer in zip(truths, answers, strict=True)
        if truth != answer
    ]
    return sum(wrong) / len(wrong) if wrong else None


def confusion(truths: Sequence[str], answers: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """``(n, n)`` int64 counts: row = truth, column = answer, in the order of ``names``.

    Raises ``ValueError`` for a label that is not among the names.
    """
    index = {name: number for number, name in enumerate(names)}
    table = np.zeros((len(names), len(names)), np.int64)
    for truth, answer in zip(truths, answers, strict=True):
        if truth not in index or answer not in index:
            raise ValueError(f"expected labels among {list(names)}; received {truth!r}, {answer!r}")
        table[index[truth], index[answer]] += 1
    return table


def class_f1(table: np.ndarray) -> list[float | None]:
    """F1 of each class of a confusion matrix; None for a class of which there is no picture."""
    right, said, true = np.diag(table), table.sum(axis=0), table.sum(axis=1)
    return [
        float(2 * right[n] / (said[n] + true[n])) if true[n] else None for n in range(len(table))
    ]


def macro_f1(table: np.ndarray, rows: Sequence[int] | None = None) -> float | None:
    """The mean of the classes' F1 over ``rows`` (all classes), small classes counting as much."""
    scores = class_f1(table)
    chosen = [scores[n] for n in (range(len(table)) if rows is None else rows)]
    counted = [score for score in chosen if score is not None]
    return sum(counted) / len(counted) if counted else None


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram: answers whose confidence lies in [low, high)."""

    low: float
    high: float
    count: int
    confidence: float  # mean
    accuracy: float


def reliability(confidences: np.ndarray, right: np.ndarray, bins: int = 15) -> list[Bin]:
    """Equal-width bins over 0 to 1 that hold any answers. Confidence 1 falls in the last bin."""
    if confidences.shape != right.shape:
        raise ValueError(f"expected equal lengths, received {confidences.shape}, {right.shape}")
    place = np.minimum((confidences * bins).astype(int), bins - 1)
    result = []
    for number in range(bins):
        inside = place == number
        count = int(inside.sum())
        if count:
            mean, accuracy = float(confidences[inside].mean()), float(right[inside].mean())
            result.append(Bin(number / bins, (number + 1) / bins, count, mean, accuracy))
    return result


def calibration_error(confidences: np.ndarray, right: np.ndarray, bins: int = 15) -> float | None:
    """Expected calibration error: the bars' distance from the diagonal, weighted by count.

    ``(N,)`` confidences 0 to 1 and ``(N,)`` booleans; None for N = 0. Guo et al. 2017.
    """
    if not len(confidences):
        return None
    total = sum(
        bar.count * abs(bar.confidence - bar.accuracy)
        for bar in reliability(confidences, right, bins)
    )
    return total / len(confidences)


def fits_matrix(labels: Sequence[str], taxonomy: Taxonomy) -> np.ndarray:
    """``(N, leaves)`` bool: which leaves fit each label; one True a row where it is known."""
    cache: dict[str, np.ndarray] = {}
    for label in set(labels):
        fitting = set(taxonomy.compatible_leaves(label))
        cache[label] = np.array([leaf in fitting for leaf in taxonomy.leaves])
    rows = [cache[label] for label in labels]
    return np.array(rows, bool).reshape(len(rows), len(taxonomy.leaves))


def leaves_below_mask(taxonomy: Taxonomy, node: str) -> np.ndarray:
    """``(leaves,)`` bool: which leaves lie below a node (a leaf: itself)."""
    below = set(taxonomy.leaves_below(node))
    return np.array([leaf in below for leaf in taxonomy.leaves])


def correct_at(node: str, fits: np.ndarray, taxonomy: Taxonomy) -> tuple[np.ndarray, np.ndarray]:
    """Whether the answer ``node`` is right for each row of ``fits``, and whether that is known.

    Right where every leaf that fits lies below the node, wrong where none does, and not known
    where only some do.
    """
    below = leaves_below_mask(taxonomy, node)
    inside = (fits & below).sum(axis=1)
    total = fits.sum(axis=1)
    return inside == total, (inside == total) | (inside == 0)
