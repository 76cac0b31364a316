"""Whether a picture is like those that a cascade knows, by its logits.

A cascade is as sure in shops that it never saw as at home, and more often wrong. Its probabilities
say which outcome is the best one, not whether the picture is like any that it learned from. The
logits say more: those of familiar pictures of a leaf lie close together (Lee et al. 2018, *A Simple
Unified Framework for Detecting Out-of-Distribution Samples*, with the logits as features).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade.errors import DatasetError

MIN_PICTURES = 100
MIN_OF_LEAF = 5  # answers; pictures of a leaf with fewer are never familiar
SHRINKAGE = 1e-3  # of the covariance, towards a ball of the same size


@dataclass(frozen=True, eq=False)
class Familiarity:
    """The distance beyond which a picture is unlike those that its best leaf is known from.

    Attributes:
        means: ``(leaves, K)`` mean logits of the pictures whose best leaf it is; NaN for leaves
            that are never familiar.
        whitening: ``(K, K)``; logits times it have covariance 1 around the mean of their leaf.
        limit: The greatest distance of a familiar picture from the mean of its best leaf.
    """

    means: np.ndarray
    whitening: np.ndarray
    limit: float

    def distances(self, logits: np.ndarray, best_leaf: np.ndarray) -> np.ndarray:
        """``(N,)`` Mahalanobis distances of ``(N, K)`` logits; the same in any batch.

        ``best_leaf`` is ``(N,)``, in the order of the taxonomy's leaves. NaN if the leaf is never
        familiar.
        """
        apart = logits.astype(np.float64) - self.means[best_leaf]
        white = np.zeros_like(apart)
        for column in range(apart.shape[1]):  # in a fixed order: no matrix product
            white += apart[:, column, None] * self.whitening[column]
        squares = np.zeros(len(apart))
        for column in range(apart.shape[1]):
            squares += white[:, column] ** 2
        result: np.ndarray = np.sqrt(squares)
        return result

    def familiar(self, logits: np.ndarray, best_leaf: np.ndarray) -> np.ndarray:
        """``(N,)`` bool; for the arguments see ``distances``."""
        result: np.ndarray = self.distances(logits, best_leaf) <= self.limit
        return result

    def to_json(self, leaves: Sequence[str]) -> dict[str, Any]:
        """As ``calibration.json`` has it, for the taxonomy's leaves."""
        return {
            "limit": self.limit,
            "means": {
                leaf: mean.tolist()
                for leaf, mean in zip(leaves, self.means, strict=True)
                if not np.isnan(mean).any()
            },
            "whitening": self.whitening.tolist(),
        }

    @classmethod
    def from_json(cls, content: Any, leaves: Sequence[str], width: int) -> Familiarity:
        """Read what ``to_json`` wrote. Raises ``ValueError`` for anything else."""
        if not isinstance(content, Mapping) or not isinstance(content.get("means"), Mapping):
            raise ValueError("not an object with means")
        try:
            limit = float(content["limit"])
            whitening = np.array(content["whitening"], np.float64)
            known = {leaf: np.array(mean, np.float64) for leaf, mean in content["means"].items()}
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(str(error)) from error
        shapes = [whitening.shape == (width, width), *(m.shape == (width,) for m in known.values())]
        numbers = np.concatenate([[limit], whitening.ravel(), *map(np.ravel, known.values())])
        if not all(shapes) or not np.isfinite(numbers).all():
            raise ValueError(f"not {width} finite numbers each")
        nothing = np.full(width, np.nan)
        return cls(np.stack([known.get(leaf, nothing) for leaf in leaves]), whitening, limit)


def fit_familiarity(
    logits: np.ndarray, best_leaf: np.ndarray, leaves: int, share: float
) -> Familiarity:
    """Fit to pictures of the shops of training that the network was not trained on.

    Args:
        logits: ``(N, K)``, all decisions' for every picture.
        best_leaf: ``(N,)`` number of each picture's best leaf.
        leaves: The number of leaves.
        share: The share of these pictures that is to be familiar, 0 to 1.

    Raises:
        DatasetError: There are fewer than ``MIN_PICTURES``.
    """
    if len(logits) < MIN_PICTURES:
        raise DatasetError(
            f"expected at least {MIN_PICTURES} pictures to tell what is familiar, received "
            f"{len(logits)}; add labelled pictures of the shops of training"
        )
    values = logits.astype(np.float64)
    means = np.full((leaves, values.shape[1]), np.nan)
    for leaf in range(leaves):
        own = values[best_leaf == leaf]
        if len(own) >= MIN_OF_LEAF:
            means[leaf] = own.mean(axis=0)
    apart = values - means[best_leaf]
    apart = apart[~np.isnan(apart).any(axis=1)]
    covariance = apart.T @ apart / len(apart)
    size = np.trace(covariance) / len(covariance)
    covariance += SHRINKAGE * size * np.eye(len(covariance))
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    found = Familiarity(means, whitening, np.inf)
    distances = np.nan_to_num(found.distances(logits, best_leaf), nan=np.inf)
    limit = float(np.sort(distances)[min(len(distances) - 1, int(share * len(distances)))])
    if not np.isfinite(limit):  # more pictures than the share are of rare leaves
        limit = float(distances[np.isfinite(distances)].max())
    return Familiarity(means, whitening, limit)
