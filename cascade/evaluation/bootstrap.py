"""Bootstrap intervals that resample groups of pictures, for figures that are not shares.

Pictures of one product are right or wrong together. Resampling single pictures would make the
intervals too narrow, so complete groups are drawn (a cluster bootstrap).
"""

from __future__ import annotations

import numpy as np

from cascade.evaluation.metrics import CALIBRATION_BINS, macro_f1, tree_distance
from cascade.evaluation.predictions import LabelledPredictions

RESAMPLES = 500


def bootstrap_weights(groups: list[str], resamples: int, seed: int) -> np.ndarray:
    """``(resamples, N)``: how often each picture is drawn in each resample.

    Each resample draws as many groups as there are, with replacement. A picture without a group
    (an empty name) is a group on its own.
    """
    names = [group or f" {number}" for number, group in enumerate(groups)]
    _, index = np.unique(names, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    random = np.random.default_rng(seed)
    drawn = np.stack(
        [np.bincount(random.integers(0, count, count), minlength=count) for _ in range(resamples)]
    )
    result: np.ndarray = drawn[:, index]
    return result


def bootstrap_intervals(
    labelled: LabelledPredictions, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % intervals of macro-F1, hierarchical F1, tree distance and calibration error, by name.

    The percentile method (Efron and Tibshirani 1993). The same seed gives the same intervals.
    Empty where no picture has a known leaf.
    """
    rows = np.flatnonzero(labelled.leaf_known)
    if not len(rows):
        return {}
    weights = bootstrap_weights([labelled.items[int(n)].group for n in rows], resamples, seed)
    taxonomy = labelled.routing.taxonomy
    leaves, size = taxonomy.leaves, len(taxonomy.leaves)
    in_scope = [n for n, leaf in enumerate(leaves) if leaf != taxonomy.out_of_scope]
    truth, best = labelled.true_leaf[rows], labelled.best_leaf[rows]
    distance = np.array([[tree_distance(a, b) for b in leaves] for a in leaves])[truth, best]
    depth = np.array([leaf.count("/") + 1 for leaf in leaves])
    # nodes that two leaves share: (depth + depth - distance) / 2
    common = (depth[truth] + depth[best] - distance) / 2
    sums = weights @ np.stack([common, depth[best] + depth[truth]], axis=1)
    wrong = weights @ (distance > 0)
    samples = {
        "macro-F1 of the leaves, in scope": [
            macro_f1(np.bincount(truth * size + best, w, size * size).reshape(size, size), in_scope)
            for w in weights
        ],
        "hierarchical F1": 2 * sums[:, 0] / sums[:, 1],
        "mean tree distance of the mistakes": (weights @ distance)[wrong > 0] / wrong[wrong > 0],
        "calibration error, leaf, in scope": _calibration_errors(labelled, rows, weights),
    }
    return {
        name: (float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5)))
        for name, drawn in samples.items()
        if len(values := np.array([v for v in drawn if v is not None], float))
    }


def _calibration_errors(
    labelled: LabelledPredictions, rows: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The expected calibration error of each resample that has pictures in scope."""
    in_scope = labelled.in_scope[rows]
    if not in_scope.any():
        return np.zeros(0)
    chosen, drawn = rows[in_scope], weights[:, in_scope]
    confidence = labelled.confidence[chosen]
    gap = confidence - labelled.leaf_right[chosen]
    place = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    in_bin = place[:, None] == np.arange(CALIBRATION_BINS)  # (n, bins)
    total = drawn.sum(axis=1)
    gaps = np.abs((drawn * gap) @ in_bin).sum(axis=1)
    result: np.ndarray = gaps[total > 0] / total[total > 0]
    return result
