"""Two cascades on the same pictures: paired shares with McNemar's test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade.evaluation.metrics import Rate, leaves_below_mask
from cascade.evaluation.predictions import Correctness, LabelledPredictions
from cascade.evaluation.tables import percent

PAIRED_HEADER = ("measure", "this", "other", "pictures", "only this", "only other", "McNemar p")
POINTS_HEADER = ("points", "gender", "type", "together", "of")


@dataclass(frozen=True)
class PairedComparison:
    """One measure of two cascades, on the pictures that count for both.

    ``only_first`` pictures are right in the first cascade alone, ``only_second`` in the second
    alone. ``p`` is the probability of a split at least this uneven if both are equally good.
    """

    name: str
    first: Rate
    second: Rate
    only_first: int
    only_second: int
    p: float

    def to_json(self) -> dict[str, Any]:
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "only_first": self.only_first,
            "only_second": self.only_second,
            "p": self.p,
        }


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test: a binomial test of the discordant pictures.

    McNemar 1947. The exact test needs no correction for small counts.
    """
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    if not discordant:
        return 1.0
    # logarithms: the binomial coefficient overflows a float from about 1,000 pictures on
    logs = [
        math.lgamma(discordant + 1) - math.lgamma(k + 1) - math.lgamma(discordant - k + 1)
        for k in range(fewer + 1)
    ]
    tail = sum(math.exp(value - discordant * math.log(2)) for value in logs)
    return min(1.0, 2 * tail)


def compare(
    first: Mapping[str, Correctness], second: Mapping[str, Correctness]
) -> list[PairedComparison]:
    """Every measure that both cascades have, of the same pictures in the same order.

    Raises:
        ValueError: a measure has different numbers of pictures.
    """
    found = []
    for name in first:
        if name not in second:
            continue
        one, other = first[name], second[name]
        if one.right.shape != other.right.shape:
            raise ValueError(
                f"{name}: expected answers to the same pictures, received "
                f"{len(one.right)} and {len(other.right)}"
            )
        both = one.counted & other.counted
        a, b = one.right[both], other.right[both]
        only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
        p = mcnemar(only_a, only_b)
        found.append(PairedComparison(name, Rate.of(a), Rate.of(b), only_a, only_b, p))
    return found


def gender_and_type_points(labelled: LabelledPredictions) -> dict[str, tuple[int, int, int, int]]:
    """The original project's comparison: one point for the right gender, one for the right type.

    Scores the best leaf within each category, on the pictures of that category whose leaf is known.

    Returns:
        For each category with genders and types: points for gender, for type, their sum, and the
        highest possible sum.
    """
    taxonomy = labelled.routing.taxonomy
    found = {}
    for category in taxonomy.children(None):
        below = np.flatnonzero(leaves_below_mask(taxonomy, category))
        levels = [taxonomy.levels(taxonomy.leaves[n]) for n in below]
        if any(level["gender"] is None or level["type"] is None for level in levels):
            continue
        rows = np.flatnonzero(labelled.leaf_known & np.isin(labelled.true_leaf, below))
        predicted = labelled.probabilities[rows][:, below].argmax(axis=1)
        truth = np.searchsorted(below, labelled.true_leaf[rows])
        scores = [
            sum(levels[a][part] == levels[b][part] for a, b in zip(predicted, truth, strict=True))
            for part in ("gender", "type")
        ]
        found[category] = (scores[0], scores[1], sum(scores), 2 * len(rows))
    return found


def points_rows(cascades: Mapping[str, LabelledPredictions]) -> list[list[str]]:
    """Rows under ``POINTS_HEADER``: each category of each cascade, by the cascade's name."""
    return [
        [f"{category}, {name}", *map(str, scores)]
        for name, labelled in cascades.items()
        for category, scores in gender_and_type_points(labelled).items()
    ]


def comparison_rows(comparisons: list[PairedComparison]) -> list[list[str]]:
    """Rows under ``PAIRED_HEADER``."""
    return [
        [
            each.name,
            percent(each.first.value),
            percent(each.second.value),
            str(each.first.count),
            str(each.only_first),
            str(each.only_second),
            f"{each.p:.2g}",
        ]
        for each in comparisons
    ]
