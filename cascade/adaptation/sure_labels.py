"""Moves the thresholds of an adapted cascade, so that its shop gets no fewer sure labels.

Thresholds that aim at 98 % in the shop, by a few hundred pictures of it, leave next to no sure
label. What people need is that adapting makes nothing worse: as many sure labels, no more of them
wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cascade.data.dataset import Item
from cascade.evaluation.predictions import LabelledPredictions
from cascade.guarantee import with_strictness
from cascade.routing import Routing

# added to the log odds of the leaves' thresholds; the first that will do is taken
STEPS = tuple(sorted(np.arange(-6.0, 6.01, 0.25).tolist(), key=abs))
TOLERANCE = 0.5  # standard errors of the precision, which a few dozen sure labels tell badly


def as_sure_as(
    before: Routing,
    old: np.ndarray,
    after: Routing,
    new: np.ndarray,
    items: Sequence[Item],
) -> Routing:
    """``after`` with the thresholds of all leaves moved by one strictness.

    It is the smallest move with which as many labels of these pictures are sure as before, and as
    many of those right. If none does both, precision counts, as long as half of the sure labels are
    left; otherwise nothing is moved. The threshold of out_of_scope is not
    lowered: nobody looks again at what is discarded.

    Args:
        before: The old routing, for ``old``.
        old: ``(N, K)`` logits of the old heads.
        after: The new routing, for ``new``.
        new: ``(N, K)`` logits of heads that were not fitted to these pictures.
        items: The N labels.
    """
    wanted, judged, right = _sure(before, old, items)
    if not judged:
        return after
    share = right / judged
    least = share - TOLERANCE * math.sqrt(share * (1 - share) / judged)
    best, most = after, (wanted - 1) // 2
    for step in STEPS:
        moved = _moved(after, step)
        sure, count, hits = _sure(moved, new, items)
        if not count or hits / count < least:
            continue
        if sure >= wanted:
            return moved
        if sure > most:
            best, most = moved, sure
    return best


def _moved(routing: Routing, step: float) -> Routing:
    if step == 0:
        return routing
    moved, leaf = with_strictness(routing, step), routing.taxonomy.out_of_scope
    if step >= 0 or leaf is None or leaf not in routing.thresholds:
        return moved
    return replace(moved, thresholds={**moved.thresholds, leaf: routing.thresholds[leaf]})


def _sure(routing: Routing, logits: np.ndarray, items: Sequence[Item]) -> tuple[int, int, int]:
    """How many labels need no review, how many of them can be judged, and how many are right."""
    measures = LabelledPredictions(routing, logits, items).measures()
    judged = measures["labels without review right"].rate
    return measures["labels without review"].rate.right, judged.count, judged.right
