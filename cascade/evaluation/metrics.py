"""Metrics of a cascade's predictions, as plain functions of predictions and true labels.

A true label may be partly known (``shoes/?/boots``). It is then given as its compatible leaves. A
metric counts the picture where all of these agree, and leaves it out where they do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade.taxonomy import Taxonomy, lineage

Z_95 = 1.959964  # two-sided 95 %
CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Rate:
    """``right`` of ``count``: a share with its 95 % Wilson interval. No share for a count of 0."""

    right: int
    count: int

    @property
    def value(self) -> float | None:
        return self.right / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.right, self.count)

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


def wilson_interval(right: float, count: float, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) for a count of 0. Counts may be weighted.

    ``z`` is the number of standard deviations: 1.96 for 95 %, two-sided. Wilson 1927, Journal of
    the American Statistical Association 22.
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
    """Hierarchical precision, recall and F1 of answers at any node of the tree.

    Each label stands for the set of its node and all nodes above, without the root. The common
    nodes of truth and answer are right. Summed over the pictures (micro average); 0 for no
    pictures. Kiritchenko, Matwin, Famili 2005.
    """
    common = claimed = wanted = 0
    for truth, answer in zip(truths, answers, strict=True):
        true_nodes, answered = set(lineage(truth)), set(lineage(answer))
        common += len(true_nodes & answered)
        claimed += len(answered)
        wanted += len(true_nodes)
    precision = common / claimed if claimed else 0.0
    recall = common / wanted if wanted else 0.0
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def tree_distance(first: str, second: str) -> int:
    """The number of edges between two nodes of the tree; 0 for the same node."""
    return len(set(lineage(first)) ^ set(lineage(second)))


def mean_tree_distance(truths: Sequence[str], answers: Sequence[str]) -> float | None:
    """The mean tree distance of the wrong answers from the truth; None without wrong answers."""
    wrong = [
        tree_distance(truth, answer)
        for truth, answer in zip(truths, answers, strict=True)
        if truth != answer
    ]
    return sum(wrong) / len(wrong) if wrong else None


def confusion_matrix(
    truths: Sequence[str], answers: Sequence[str], names: Sequence[str]
) -> np.ndarray:
    """``(n, n)`` int64 counts: row = truth, column = answer, in the order of ``names``.

    Raises:
        ValueError: a label is not among the names.
    """
    index = {name: number for number, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), np.int64)
    for truth, answer in zip(truths, answers, strict=True):
        if truth not in index or answer not in index:
            raise ValueError(f"expected labels among {list(names)}; received {truth!r}, {answer!r}")
        matrix[index[truth], index[answer]] += 1
    return matrix


def f1_per_class(matrix: np.ndarray) -> list[float | None]:
    """F1 of each class of a confusion matrix; None for a class without pictures."""
    right, predicted, true = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return [
        float(2 * right[n] / (predicted[n] + true[n])) if true[n] else None
        for n in range(len(matrix))
    ]


def macro_f1(matrix: np.ndarray, classes: Sequence[int] | None = None) -> float | None:
    """The unweighted mean of F1 over ``classes`` (None: all) that have pictures."""
    scores = f1_per_class(matrix)
    chosen = [scores[n] for n in (range(len(matrix)) if classes is None else classes)]
    counted = [score for score in chosen if score is not None]
    return sum(counted) / len(counted) if counted else None


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram: answers with a confidence in [low, high)."""

    low: float
    high: float
    count: int
    confidence: float  # mean
    accuracy: float


def reliability_bins(
    confidences: np.ndarray, right: np.ndarray, bins: int = CALIBRATION_BINS
) -> list[ReliabilityBin]:
    """Equal-width bins over 0 to 1, without the empty ones. The last bin includes confidence 1."""
    if confidences.shape != right.shape:
        raise ValueError(f"expected equal lengths, received {confidences.shape}, {right.shape}")
    place = np.minimum((confidences * bins).astype(int), bins - 1)
    result = []
    for number in range(bins):
        inside = place == number
        count = int(inside.sum())
        if count:
            mean, accuracy = float(confidences[inside].mean()), float(right[inside].mean())
            result.append(ReliabilityBin(number / bins, (number + 1) / bins, count, mean, accuracy))
    return result


def expected_calibration_error(
    confidences: np.ndarray, right: np.ndarray, bins: int = CALIBRATION_BINS
) -> float | None:
    """Expected calibration error: mean |accuracy - confidence| of the bins, weighted by count.

    From ``(N,)`` confidences (0 to 1) and ``(N,)`` bool; None for N = 0. Guo et al. 2017.
    """
    if not len(confidences):
        return None
    total = sum(
        bar.count * abs(bar.confidence - bar.accuracy)
        for bar in reliability_bins(confidences, right, bins)
    )
    return total / len(confidences)


def compatible_leaves_mask(labels: Sequence[str], taxonomy: Taxonomy) -> np.ndarray:
    """``(N, leaves)`` bool: the leaves compatible with each label; one per row if it is known."""
    cache: dict[str, np.ndarray] = {}
    for label in set(labels):
        compatible = set(taxonomy.compatible_leaves(label))
        cache[label] = np.array([leaf in compatible for leaf in taxonomy.leaves])
    rows = [cache[label] for label in labels]
    return np.array(rows, bool).reshape(len(rows), len(taxonomy.leaves))


def leaves_below_mask(taxonomy: Taxonomy, node: str) -> np.ndarray:
    """``(leaves,)`` bool: the leaves below a node; for a leaf, the leaf itself."""
    below = set(taxonomy.leaves_below(node))
    return np.array([leaf in below for leaf in taxonomy.leaves])


def correct_at(
    node: str, compatible: np.ndarray, taxonomy: Taxonomy
) -> tuple[np.ndarray, np.ndarray]:
    """Whether the answer ``node`` is right for each picture, and whether that is known.

    ``compatible`` is ``(N, leaves)`` bool. The answer is right where all compatible leaves are
    below the node, wrong where none is, and not known where only some are.

    Returns:
        Two arrays ``(N,)`` bool.
    """
    below = leaves_below_mask(taxonomy, node)
    inside = (compatible & below).sum(axis=1)
    total = compatible.sum(axis=1)
    return inside == total, (inside == total) | (inside == 0)
