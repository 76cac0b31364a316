"""Calibration on validation pictures: honest probabilities, and where a label should stop.

A temperature for each decision makes its probabilities match how often it is right. A threshold
for each node then says from which probability on a label may stop there, so that the labels that
do reach an asked precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cascade.decisions import DecisionSet
from cascade.evaluation.metrics import correct_at, fits_matrix, leaves_below_mask, wilson
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy

TEMPERATURE_RANGE = (0.1, 6.0)  # searched between; a mean of several trainings may need 0.3
MIN_OWN_ANSWERS = 100  # answers that a node needs for a threshold of its own; fewer are pooled
# Half a standard deviation (one-sided 69 %). On photographs 1.28 costs a quarter of the leaves that
# are labelled and reaches 99 % where 98 % is asked; 0 overshoots what was luck on validation.
Z_BOUND = 0.5
MARGIN = 5e-4  # of a probability, far above what runtimes differ by
MIN_ANSWERS = 30  # that must pass a threshold before anything is concluded from it


def fit_temperatures(
    logits: np.ndarray, answers: np.ndarray, decisions: DecisionSet
) -> dict[str, float]:
    """The temperature of each decision, by node, that makes the validation loss least.

    ``logits`` and ``answers`` are ``(N, K)``, the decisions side by side (see
    ``cascade.data.dataset.targets``). Partly known labels count, with what they know, only where
    fewer than MIN_ANSWERS are whole: what they know is the easier part, and a temperature that
    suits it is too sure of the rest. A decision that no picture concerns keeps 1. Guo et al. 2017,
    On Calibration of Modern Neural Networks.
    """
    result = {}
    for decision, columns in decisions.with_columns():
        fitting = answers[:, columns].sum(axis=1)
        rows = fitting == 1 if (fitting == 1).sum() >= MIN_ANSWERS else fitting > 0
        result[decision.node] = _temperature(
            logits[rows, columns].astype(np.float64), answers[rows, columns]
        )
    return result


def smoothed_cross_entropy(logits: np.ndarray, fits: np.ndarray, temperature: float) -> float:
    """Mean of -log of the probability of the outcomes that fit, of one decision's rows.

    The target is softened as if two more pictures had been seen, one right and one wrong (Platt
    1999): a set that is answered without a mistake would otherwise ask for endless confidence.
    """
    scaled = logits / temperature
    log_p = scaled - _log_sum_exp(scaled)[:, None]
    known = -_log_sum_exp(np.where(fits > 0, log_p, -np.inf))
    soft = 1.0 / (len(logits) + 2)
    cost: float = np.mean((1 - soft) * known - soft * log_p.mean(axis=1))
    return float(cost)


def _temperature(logits: np.ndarray, fits: np.ndarray) -> float:
    """Golden-section search over the logarithm of the temperature; the cost has one valley."""
    if not len(logits):
        return 1.0
    ratio = (math.sqrt(5) - 1) / 2
    low, high = (math.log(bound) for bound in TEMPERATURE_RANGE)
    while high - low > 1e-4:
        first, second = high - ratio * (high - low), low + ratio * (high - low)
        if smoothed_cross_entropy(logits, fits, math.exp(first)) < smoothed_cross_entropy(
            logits, fits, math.exp(second)
        ):
            high = second
        else:
            low = first
    return round(math.exp((low + high) / 2), 4)


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    top = values.max(axis=1)
    result: np.ndarray = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return result


@dataclass(frozen=True)
class NodeThreshold:
    """What tuning found for one node.

    ``answers`` labels of the validation pictures stop there, ``right`` of the ``judged`` ones
    (those whose truth settles it); ``candidates`` would without a threshold. ``pooled`` where the
    node borrowed the threshold of its level, ``assumed`` where even that had too little evidence
    and the probability itself has to reach the asked precision; ``floor`` where it has to although
    the evidence would do with less.
    """

    node: str
    threshold: float
    candidates: int
    answers: int
    judged: int
    right: int
    how: str  # own, pooled, assumed, floor


def tune_thresholds(
    routing: Routing, logits: np.ndarray, labels: Sequence[str], precision: float = 0.98
) -> dict[str, NodeThreshold]:
    """A threshold for each node, so that of the labels that stop there ``precision`` are right.

    Leaves first, then the nodes above them on the pictures that are left, as the labels stop. What
    must reach it is a lower bound of the precision, not the share itself, so that it holds on
    other pictures too. Nodes with few answers share a threshold with the nodes beside them: same
    category, same depth; where even those are too few, the probability itself must reach it. So
    must that of out_of_scope always, since how often such a label is wrong depends on how much of
    a crawl is out of scope, and a picture that is thrown out is not looked at again.
    ``routing`` carries the temperatures; its thresholds are not used.
    """
    if not 0 < precision < 1:
        raise ValueError(f"precision: expected a number between 0 and 1, received {precision}")
    taxonomy = routing.taxonomy
    leaves = replace(routing, thresholds={}).leaf_probabilities(logits)
    primary = routing.outcome_probabilities(logits)[:, routing.decisions.columns[0]]
    category = np.array(routing.decisions[0].outcomes)[primary.argmax(axis=1)]
    fits = fits_matrix(labels, taxonomy)
    found: dict[str, NodeThreshold] = {}
    for top in routing.decisions[0].outcomes:
        left = category == top
        for nodes in taxonomy.nodes_by_depth(top):
            sums = np.stack([leaves[:, leaves_below_mask(taxonomy, n)].sum(axis=1) for n in nodes])
            level = _Level(nodes, sums.argmax(axis=0), sums.max(axis=0), left, fits, taxonomy)
            floor = precision if top == taxonomy.out_of_scope else 0.0
            found.update(level.tune(precision, floor))
            thresholds = np.array([found[node].threshold for node in nodes])
            left = left & ~(level.score >= thresholds[level.best])
    return found


def thresholds_of(found: Mapping[str, NodeThreshold]) -> dict[str, float]:
    """The plain thresholds by node, as a bundle holds them."""
    return {node: entry.threshold for node, entry in found.items()}


@dataclass(frozen=True)
class _Level:
    """The nodes of one depth in one category, and the pictures whose label may stop there."""

    nodes: Sequence[str]
    best: np.ndarray  # (N,) which node is the most probable
    score: np.ndarray  # (N,) its probability
    left: np.ndarray  # (N,) bool: no deeper node took it
    fits: np.ndarray
    taxonomy: Taxonomy

    def tune(self, precision: float, floor: float) -> dict[str, NodeThreshold]:
        right = np.zeros(len(self.best), bool)
        known = np.zeros(len(self.best), bool)
        for number, node in enumerate(self.nodes):
            here = self.left & (self.best == number)
            correct, settled = correct_at(node, self.fits, self.taxonomy)
            right[here], known[here] = correct[here], settled[here]
        judged = self.left & known
        shared = lowest_threshold(self.score[judged], right[judged], precision)
        result = {}
        for number, node in enumerate(self.nodes):
            here = self.left & (self.best == number)
            own = here & known
            how, threshold = ("assumed", precision) if shared is None else ("pooled", shared)
            if own.sum() >= MIN_OWN_ANSWERS:
                alone = lowest_threshold(self.score[own], right[own], precision)
                how, threshold = (how, threshold) if alone is None else ("own", alone)
            if threshold < floor:
                how, threshold = "floor", floor
            passed = here & (self.score >= threshold)
            result[node] = NodeThreshold(
                node,
                threshold,
                int(here.sum()),
                int(passed.sum()),
                int((passed & known).sum()),
                int((passed & right).sum()),
                how,
            )
        return result


def lowest_threshold(score: np.ndarray, right: np.ndarray, precision: float) -> float | None:
    """The least threshold from which on the lower bound of the precision reaches what is asked.

    ``(n,)`` probabilities and booleans. It lies midway between the last score that passes and the
    first that does not, or a little below where all pass: on a score itself, another runtime's
    rounding would decide whether that picture passes. None where no threshold does (also with too
    few answers).
    """
    order = np.argsort(-score, kind="stable")
    ordered, hits = score[order], np.cumsum(right[order])
    best = None
    for number in range(len(ordered)):
        if number + 1 < len(ordered) and ordered[number + 1] == ordered[number]:
            continue  # equal scores pass together
        enough = number + 1 >= MIN_ANSWERS
        if enough and wilson(int(hits[number]), number + 1, Z_BOUND)[0] >= precision:
            last = number + 1 == len(ordered)
            after = ordered[number] - 2 * MARGIN if last else ordered[number + 1]
            best = max(0.0, float((ordered[number] + after) / 2))
    return best
