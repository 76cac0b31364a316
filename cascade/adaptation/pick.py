"""Chooses which pictures people should look at: doubtful ones, different from one another.

Weighted k-means over features, one picture a cluster (Zhdanov 2019, *Diverse mini-batch active
learning*): a cluster is where doubt is, so many doubtful pictures of one kind share few places. A
part is drawn at random from all pictures instead, because only such a part says how good the
labels are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DIMENSIONS = 32
ROUNDS = 10
LEAST_DOUBT = 1e-3  # so that a crawl without any doubt is still covered


@dataclass(frozen=True)
class Choice:
    """A chosen picture: its row number, and whether it was drawn at random."""

    row: int
    at_random: bool


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """``(N,)`` entropies in nats of ``(N, leaves)`` probabilities."""
    p = np.maximum(probabilities, 1e-12)
    result: np.ndarray = -(p * np.log(p)).sum(axis=1)
    return result


def pick(
    features: np.ndarray,
    doubt: np.ndarray,
    groups: Sequence[str],
    limit: int,
    *,
    random_share: float = 0.25,
    seed: int = 2026,
) -> list[Choice]:
    """Choose at most ``limit`` pictures, the random ones first.

    Args:
        features: ``(N, F)`` of the pictures.
        doubt: ``(N,)`` at least 0, such as ``entropy``.
        groups: The product or group of near duplicates of each; beside the random part, at most one
            picture of a group is chosen, and none of a group that is in the random part.
        limit: The number of pictures to choose.
        random_share: The share to draw at random, 0 to 1.
        seed: The same seed chooses the same pictures.
    """
    random = np.random.default_rng(seed)
    count = min(limit, len(features))
    drawn = random.choice(len(features), round(count * random_share), replace=False)
    names = np.array(groups)
    taken = set(names[drawn].tolist())
    by_doubt = np.argsort(-doubt, kind="stable")
    left = [int(row) for row in by_doubt if names[row] not in taken]
    _, first = np.unique(names[left], return_index=True)
    rows = np.array(left, int)[np.sort(first)] if left else np.zeros(0, int)
    chosen = [Choice(int(row), True) for row in np.sort(drawn)]
    wanted = min(count - len(chosen), len(rows))
    if wanted:
        found = _one_of_each_cluster(_reduced(features[rows]), doubt[rows], wanted, random)
        chosen += [Choice(int(rows[n]), False) for n in found]
    return chosen


def _reduced(values: np.ndarray) -> np.ndarray:
    """``(n, F)`` to ``(n, d)``: the main directions."""
    centred = (values - values.mean(axis=0)).astype(np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    result: np.ndarray = centred @ directions[:, -DIMENSIONS:]
    return result


def _one_of_each_cluster(
    values: np.ndarray, doubt: np.ndarray, count: int, random: np.random.Generator
) -> list[int]:
    """The rows nearest to the ``count`` centres of weighted k-means."""
    weights = np.maximum(doubt, LEAST_DOUBT)
    centres = _spread(values, weights, count, random)
    for _ in range(ROUNDS):
        own = _distances(values, centres).argmin(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, own, values * weights[:, None])
        total = np.bincount(own, weights, minlength=count)
        centres = np.where(total[:, None] > 0, sums / np.maximum(total, 1e-12)[:, None], centres)
    distances = _distances(values, centres)
    found: list[int] = []
    free = np.ones(len(values), bool)
    for cluster in range(count):
        nearest = int(np.where(free, distances[:, cluster], np.inf).argmin())
        free[nearest] = False
        found.append(nearest)
    return found


def _spread(
    values: np.ndarray, weights: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """First centres, doubtful and far from one another.

    k-means++: Arthur and Vassilvitskii 2007, *The Advantages of Careful Seeding*.
    """
    chosen = [int(random.choice(len(values), p=weights / weights.sum()))]
    nearest = _distances(values, values[chosen])[:, 0]
    while len(chosen) < count:
        chances = nearest * weights
        chances[chosen] = 0
        if not chances.sum() > 0:  # what is left equals a centre
            chances = weights.copy()
            chances[chosen] = 0
        chosen.append(int(random.choice(len(values), p=chances / chances.sum())))
        nearest = np.minimum(nearest, _distances(values, values[chosen[-1:]])[:, 0])
    return values[chosen].copy()


def _distances(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """``(n, k)`` squared distances."""
    squares = (values**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    result: np.ndarray = np.maximum(squares - 2 * values @ centres.T, 0.0)
    return result
