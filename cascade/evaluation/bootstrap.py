"""Intervals of figures that are no shares, by drawing the pictures anew, group by group.

Pictures of one product stand or fall together, so whole groups are drawn: intervals that take each
picture for itself come out too narrow.
"""

from __future__ import annotations

import numpy as np

from cascade.evaluation.answers import Answers
from cascade.evaluation.metrics import macro_f1, tree_distance

ROUNDS = 500
BINS = 15


def group_weights(groups: list[str], rounds: int, seed: int) -> np.ndarray:
    """``(rounds, N)``: how often each picture is drawn in each round.

    As many groups as there are, drawn with replacement. A picture without a group is its own.
    """
    names = [group or f" {number}" for number, group in enumerate(groups)]
    _, index = np.unique(names, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    random = np.random.default_rng(seed)
    drawn = np.stack(
        [np.bincount(random.integers(0, count, count), minlength=count) for _ in range(rounds)]
    )
    result: np.ndarray = drawn[:, index]
    return result


def group_intervals(
    answers: Answers, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % intervals of macro-F1, hierarchical F1, tree distance and calibration error, by name.

    Percentiles of ``rounds`` drawings; the same seed gives the same intervals. Empty where no
    picture's leaf is known. Efron and Tibshirani 1993.
    """
    rows = np.flatnonzero(answers.known)
    if not len(rows):
        return {}
    weights = group_weights([answers.items[int(n)].group for n in rows], rounds, seed)
    taxonomy = answers.routing.taxonomy
    leaves, size = taxonomy.leaves, len(taxonomy.leaves)
    scope = [n for n, leaf in enumerate(leaves) if leaf != taxonomy.out_of_scope]
    truth, best = answers.truth[rows], answers.best[rows]
    distance = np.array([[tree_distance(a, b) for b in leaves] for a in leaves])[truth, best]
    depth = np.array([leaf.count("/") + 1 for leaf in leaves])
    # the parts two leaves have in common: what they have together, less their distance, halved
    common = (depth[truth] + depth[best] - distance) / 2
    sums = weights @ np.stack([common, depth[best] + depth[truth]], axis=1)
    wrong = weights @ (distance > 0)
    samples = {
        "macro-F1 of the leaves, in scope": [
            macro_f1(np.bincount(truth * size + best, w, size * size).reshape(size, size), scope)
            for w in weights
        ],
        "hierarchical F1": 2 * sums[:, 0] / sums[:, 1],
        "mean tree distance of the mistakes": (weights @ distance)[wrong > 0] / wrong[wrong > 0],
        "calibration error, leaf, in scope": _calibration_samples(answers, rows, weights),
    }
    return {
        name: (float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5)))
        for name, drawn in samples.items()
        if len(values := np.array([v for v in drawn if v is not None], float))
    }


def _calibration_samples(answers: Answers, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    inside = answers.inside[rows]
    if not inside.any():
        return np.zeros(0)
    chosen, drawn = rows[inside], weights[:, inside]
    certainty = answers.certainty[chosen]
    gap = certainty - (answers.best[chosen] == answers.truth[chosen])
    place = np.minimum((certainty * BINS).astype(int), BINS - 1)
    in_bin = place[:, None] == np.arange(BINS)  # (n, bins)
    total = drawn.sum(axis=1)
    gaps = np.abs((drawn * gap) @ in_bin).sum(axis=1)
    result: np.ndarray = gaps[total > 0] / total[total > 0]
    return result
