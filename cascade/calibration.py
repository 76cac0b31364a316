"""Calibration on validation pictures: a temperature for each decision, a threshold for each node.

The temperature makes a decision's probabilities match its accuracy. The threshold is the least
probability at which a label may stop at the node. It is chosen so that the labels at that node
reach a required precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cascade.decisions import DecisionSet
from cascade.evaluation.metrics import (
    compatible_leaves_mask,
    correct_at,
    leaves_below_mask,
    wilson_interval,
)
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy

TEMPERATURE_RANGE = (0.1, 6.0)  # averaged weights are under-confident and may need 0.3
MIN_OWN_ANSWERS = 100  # a node with fewer answers shares a threshold with its siblings
# Half a standard deviation (one-sided 69 %). On photographs 1.28 loses a quarter of the leaf labels
# and reaches 99 % where 98 % is required; with 0 the thresholds fit chance in the validation set.
Z_BOUND = 0.5
MARGIN = 5e-4  # of a probability; far above the differences between runtimes
MIN_ANSWERS = 30  # least number above a threshold for an estimate of the precision
NEVER = 1.01  # a threshold that no probability reaches


def fit_temperatures(
    logits: np.ndarray, answers: np.ndarray, decisions: DecisionSet
) -> dict[str, float]:
    """Fit the temperature of each decision to the least validation loss.

    Partly known labels are used only if a decision has fewer than ``MIN_ANSWERS`` fully known ones.
    They tell the easier part of a label, so a temperature fitted to them is over-confident. Guo et
    al. 2017, *On Calibration of Modern Neural Networks*.

    Args:
        logits: ``(N, K)``, not calibrated.
        answers: ``(N, K)``, as ``cascade.data.dataset.targets`` returns them.
        decisions: The decisions of the K columns.

    Returns:
        The temperature by the decision's node; 1 for a decision without any answer.
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
    """The mean negative log probability of the outcomes that fit, for one decision.

    Targets are smoothed as if there were two more pictures, one right and one wrong (Platt 1999).
    Otherwise a validation set without mistakes would drive the temperature to its lower bound.

    Args:
        logits: ``(n, k)``.
        fits: ``(n, k)``; 1 for each outcome that fits the label.
        temperature: The divisor of the logits.
    """
    scaled = logits / temperature
    log_p = scaled - _log_sum_exp(scaled)[:, None]
    known = -_log_sum_exp(np.where(fits > 0, log_p, -np.inf))
    soft = 1.0 / (len(logits) + 2)
    cost: float = np.mean((1 - soft) * known - soft * log_p.mean(axis=1))
    return float(cost)


def _temperature(logits: np.ndarray, fits: np.ndarray) -> float:
    """Golden-section search over the log temperature. The cost has a single minimum."""
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
    """The threshold of one node and the validation labels behind it.

    Attributes:
        node: Its path.
        threshold: The least probability at which a label may stop here.
        candidates: Labels that would stop here without a threshold.
        answers: Labels that stop here with it.
        judged: The answers that are known to be right or wrong.
        right: The answers that are right.
        how: ``own``: from the node's own answers. ``pooled``: from all nodes of its level.
            ``assumed``: too few answers, so the threshold is the required precision itself.
            ``floor``: the required precision, although the answers allow a lower threshold.
            ``home``: that of other pictures, which is higher, or there are too few answers here.
            ``never``: no threshold reaches the precision, so no label stops here.
    """

    node: str
    threshold: float
    candidates: int
    answers: int
    judged: int
    right: int
    how: str


def tune_thresholds(
    routing: Routing,
    logits: np.ndarray,
    labels: Sequence[str],
    precision: float = 0.98,
    *,
    weights: np.ndarray | None = None,
    home: Mapping[str, float] | None = None,
) -> dict[str, NodeThreshold]:
    """Find a threshold for each node, so that labels that stop there reach a precision.

    The order is that in which a label tries to stop: the leaves first, then the nodes above them on
    the remaining pictures. A lower confidence bound of the precision must reach ``precision``, so
    that the threshold also holds on other pictures. A node with few answers shares a threshold with
    the nodes of its category and depth. If even those have too few, the threshold is ``precision``.

    The threshold of out_of_scope is never below ``precision``. The precision of that label depends
    on the share of out-of-scope pictures in a crawl, and nobody looks at a discarded picture again.

    Args:
        routing: Carries the temperatures. Its thresholds are not used.
        logits: ``(N, K)``, not calibrated.
        labels: The N true labels; parts may be unknown.
        precision: The required share of right labels, between 0 and 1.
        weights: ``(N,)`` above 0, how much each picture counts in the precision; None for equally.
        home: Thresholds that hold for other pictures. No threshold is lower than that, and where
            these pictures show that no threshold reaches the precision, labels never stop.

    Returns:
        The threshold and its evidence for each node, by path.
    """
    if not 0 < precision < 1:
        raise ValueError(f"precision: expected a number between 0 and 1, received {precision}")
    taxonomy = routing.taxonomy
    leaves = replace(routing, thresholds={}).leaf_probabilities(logits)
    primary = routing.outcome_probabilities(logits)[:, routing.decisions.columns[0]]
    category = np.array(routing.decisions[0].outcomes)[primary.argmax(axis=1)]
    fits = compatible_leaves_mask(labels, taxonomy)
    weights = np.ones(len(logits)) if weights is None else weights
    found: dict[str, NodeThreshold] = {}
    for top in routing.decisions[0].outcomes:
        left = category == top
        for nodes in taxonomy.nodes_by_depth(top):
            sums = np.stack([leaves[:, leaves_below_mask(taxonomy, n)].sum(axis=1) for n in nodes])
            level = _Level(
                nodes, sums.argmax(axis=0), sums.max(axis=0), left, fits, taxonomy, weights, home
            )
            floor = precision if top == taxonomy.out_of_scope else 0.0
            found.update(level.tune(precision, floor))
            thresholds = np.array([found[node].threshold for node in nodes])
            left = left & ~(level.score >= thresholds[level.best])
    return found


def thresholds_of(found: Mapping[str, NodeThreshold]) -> dict[str, float]:
    """The thresholds by path, as a bundle stores them."""
    return {node: entry.threshold for node, entry in found.items()}


@dataclass(frozen=True)
class _Level:
    """The nodes of one depth in one category, and the pictures whose labels may stop there."""

    nodes: Sequence[str]
    best: np.ndarray  # (N,) number of the most probable node
    score: np.ndarray  # (N,) its probability
    left: np.ndarray  # (N,) bool: no deeper node was accepted
    fits: np.ndarray  # (N, leaves) bool: which leaves fit the true label
    taxonomy: Taxonomy
    weights: np.ndarray  # (N,)
    home: Mapping[str, float] | None

    def tune(self, precision: float, floor: float) -> dict[str, NodeThreshold]:
        right = np.zeros(len(self.best), bool)
        known = np.zeros(len(self.best), bool)
        for number, node in enumerate(self.nodes):
            here = self.left & (self.best == number)
            correct, settled = correct_at(node, self.fits, self.taxonomy)
            right[here], known[here] = correct[here], settled[here]
        judged = self.left & known
        shared = self._lowest(judged, right, precision)
        result = {}
        for number, node in enumerate(self.nodes):
            here = self.left & (self.best == number)
            own = here & known
            how, threshold = ("assumed", precision) if shared is None else ("pooled", shared)
            if shared is None and self.home is not None:
                enough = judged.sum() >= MIN_ANSWERS
                how, threshold = ("never", NEVER) if enough else ("home", self.home[node])
            if own.sum() >= MIN_OWN_ANSWERS:
                alone = self._lowest(own, right, precision)
                how, threshold = (how, threshold) if alone is None else ("own", alone)
            if self.home is not None and threshold < self.home[node]:
                how, threshold = "home", self.home[node]
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

    def _lowest(self, rows: np.ndarray, right: np.ndarray, precision: float) -> float | None:
        return lowest_threshold(self.score[rows], right[rows], precision, self.weights[rows])


def lowest_threshold(
    score: np.ndarray, right: np.ndarray, precision: float, weights: np.ndarray | None = None
) -> float | None:
    """The lowest threshold whose labels reach ``precision`` by the lower confidence bound.

    The threshold is midway between the last score that passes and the next one, or slightly below
    the last score if all pass. At a score itself, the rounding of another runtime would decide.

    Args:
        score: ``(n,)`` probabilities.
        right: ``(n,)`` bool.
        precision: The required share of right answers.
        weights: ``(n,)`` above 0, how much each answer counts; None for equally. Unequal weights
            count as fewer answers: the square of their sum, divided by the sum of their squares
            (Kish 1965, *Survey Sampling*).

    Returns:
        The threshold; None if there is none, for example with fewer than ``MIN_ANSWERS`` scores.
    """
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    weight = np.ones(len(score)) if weights is None else weights[order].astype(np.float64)
    total, squares = np.cumsum(weight), np.cumsum(weight**2)
    hits = np.cumsum(weight * right[order])
    counts = total**2 / np.maximum(squares, 1e-300)  # effective number of answers
    best = None
    for number in range(len(ordered)):
        if number + 1 < len(ordered) and ordered[number + 1] == ordered[number]:
            continue  # equal scores pass or fail together
        enough = number + 1 >= MIN_ANSWERS
        count = float(counts[number])
        found = min(count, float(hits[number] / total[number]) * count)
        if enough and wilson_interval(found, count, Z_BOUND)[0] >= precision:
            last = number + 1 == len(ordered)
            after = ordered[number] - 2 * MARGIN if last else ordered[number + 1]
            best = max(0.0, float((ordered[number] + after) / 2))
    return best
