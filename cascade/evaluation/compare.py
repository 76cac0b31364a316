"""Two cascades on the same pictures, side by side, with a paired test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade.evaluation.answers import Answers, Outcome
from cascade.evaluation.metrics import Rate, leaves_below_mask
from cascade.evaluation.tables import percent


@dataclass(frozen=True)
class Compared:
    """One measure of two cascades on the pictures that count for both.

    ``only_first`` pictures are right in the first alone, ``only_second`` in the second alone;
    ``p`` is how likely so uneven a split (or more) is if both are equally good.
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
    """The exact two-sided p-value of McNemar's test: a fair coin over the pictures that differ.

    McNemar 1947; the exact form needs no correction for small counts.
    """
    tosses, fewer = only_first + only_second, min(only_first, only_second)
    if not tosses:
        return 1.0
    # in logarithms: the number of ways overflows a float beyond a thousand tosses
    logs = [
        math.lgamma(tosses + 1) - math.lgamma(k + 1) - math.lgamma(tosses - k + 1)
        for k in range(fewer + 1)
    ]
    tail = sum(math.exp(value - tosses * math.log(2)) for value in logs)
    return min(1.0, 2 * tail)


def compare(first: Mapping[str, Outcome], second: Mapping[str, Outcome]) -> list[Compared]:
    """Every measure that both have, on the same pictures in the same order."""
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
        both = one.counts & other.counts
        a, b = one.right[both], other.right[both]
        only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
        found.append(
            Compared(name, Rate.of(a), Rate.of(b), only_a, only_b, mcnemar(only_a, only_b))
        )
    return found


def points(answers: Answers) -> dict[str, tuple[int, int, int, int]]:
    """The original's way to compare forms: a point for the right gender, one for the right type.

    By category that has genders: points for gender, for type, together, and the most there are.
    Judged is each category's best leaf on the known pictures that do belong to it.
    """
    taxonomy = answers.routing.taxonomy
    found = {}
    for category in taxonomy.children(None):
        below = np.flatnonzero(leaves_below_mask(taxonomy, category))
        levels = [taxonomy.levels(taxonomy.leaves[n]) for n in below]
        if any(level["gender"] is None or level["type"] is None for level in levels):
            continue
        rows = np.flatnonzero(answers.known & np.isin(answers.truth, below))
        said = answers.probabilities[rows][:, below].argmax(axis=1)
        true = np.searchsorted(below, answers.truth[rows])
        scores = [
            sum(levels[a][part] == levels[b][part] for a, b in zip(said, true, strict=True))
            for part in ("gender", "type")
        ]
        found[category] = (scores[0], scores[1], sum(scores), 2 * len(rows))
    return found


POINTS = ("points", "gender", "type", "together", "of")


def points_rows(named: Mapping[str, Answers]) -> list[list[str]]:
    """Rows under ``POINTS``: each category, each cascade."""
    return [
        [f"{category}, {name}", *map(str, scores)]
        for name, answers in named.items()
        for category, scores in points(answers).items()
    ]


def compared_rows(compared: list[Compared]) -> list[list[str]]:
    """Rows for a table under ``COMPARED``."""
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
        for each in compared
    ]


COMPARED = ("measure", "this", "other", "pictures", "only this", "only other", "McNemar p")
