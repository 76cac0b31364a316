"""Evaluate a cascade on labelled pictures: all shares, figures, matrices and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cascade.data.dataset import Item
from cascade.evaluation.bootstrap import bootstrap_intervals
from cascade.evaluation.metrics import (
    Rate,
    ReliabilityBin,
    confusion_matrix,
    expected_calibration_error,
    f1_per_class,
    hierarchical_scores,
    macro_f1,
    mean_tree_distance,
    reliability_bins,
)
from cascade.evaluation.predictions import PRIMARY, Correctness, LabelledPredictions
from cascade.evaluation.risk_coverage import (
    THRESHOLDS,
    OperatingPoint,
    coverage_at_precision,
    operating_point,
)
from cascade.routing import Routing

LEAF_CONFUSION = "leaf"


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts by truth (row) and answer (column), both in the order of ``names``."""

    names: tuple[str, ...]
    counts: np.ndarray

    def to_json(self) -> dict[str, Any]:
        return {"names": list(self.names), "table": self.counts.tolist()}


@dataclass(frozen=True)
class StopResult:
    """Labels that stop at one node: its threshold, and how many of them are right."""

    node: str
    threshold: float
    rate: Rate


@dataclass(frozen=True)
class LeafResult:
    """One leaf: its recall (how many of its pictures are found) and its F1."""

    leaf: str
    found: Rate
    f1: float | None


@dataclass(frozen=True)
class Evaluation:
    """The result of ``evaluate``.

    Attributes:
        pictures: Number of pictures.
        partly_known: How many of them have a label with more than one compatible leaf.
        rates: Shares with counts, by measure.
        figures: Measures that are not shares; None where no picture counts.
        intervals: 95 % bootstrap intervals of the figures.
        stops: Labels by the node where they stop.
        leaves: Recall and F1 of each leaf.
        bins: Reliability diagram of the best leaf, in scope.
        confusions: Confusion matrices by decision, and of all leaves.
        sources: Rates by source, where there is more than one.
        operating_points: Precision and coverage at fixed thresholds on the best leaf's probability.
        coverage_at_precision: The highest coverage that keeps a precision, by precision.
    """

    pictures: int
    partly_known: int
    rates: dict[str, Rate]
    figures: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    stops: list[StopResult]
    leaves: list[LeafResult]
    bins: list[ReliabilityBin]
    confusions: dict[str, ConfusionMatrix]
    sources: dict[str, dict[str, Rate]] = field(default_factory=dict)
    operating_points: list[OperatingPoint] = field(default_factory=list)
    coverage_at_precision: dict[float, OperatingPoint] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Numbers, lists and dictionaries, under the keys of ``evaluate --format json``."""
        return {
            "pictures": self.pictures,
            "partly_known": self.partly_known,
            "rates": _rates_json(self.rates),
            "numbers": dict(self.figures),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "thresholds": [
                {"node": stop.node, "threshold": stop.threshold} | stop.rate.to_json()
                for stop in self.stops
            ],
            "cuts": [point.to_json() for point in self.operating_points],
            "widest_cuts": {
                f"{precision:g}": point.to_json()
                for precision, point in self.coverage_at_precision.items()
            },
            "leaves": [
                {"leaf": each.leaf, "f1": each.f1} | each.found.to_json() for each in self.leaves
            ],
            "reliability": [asdict(each) for each in self.bins],
            "sources": {source: _rates_json(rates) for source, rates in self.sources.items()},
            "confusion": {name: each.to_json() for name, each in self.confusions.items()},
        }


def _rates_json(rates: dict[str, Rate]) -> dict[str, Any]:
    return {name: rate.to_json() for name, rate in rates.items()}


def evaluate(routing: Routing, logits: np.ndarray, items: Sequence[Item]) -> Evaluation:
    """Measure ``(N, K)`` logits of all networks against the labels of N items."""
    return evaluate_predictions(LabelledPredictions(routing, logits, items))


def evaluate_predictions(labelled: LabelledPredictions) -> Evaluation:
    """Measure predictions that are already computed."""
    leaves, in_scope = labelled.routing.taxonomy.leaves, labelled.in_scope
    measures = labelled.measures()
    known = labelled.leaf_known
    names = np.array(leaves)
    counts = confusion_matrix(
        names[labelled.true_leaf[known]].tolist(), names[labelled.best_leaf[known]].tolist(), leaves
    )
    confidence, right = labelled.confidence[in_scope], labelled.leaf_right[in_scope]
    return Evaluation(
        pictures=len(labelled.items),
        partly_known=int((~known).sum()),
        rates={name: measure.rate for name, measure in measures.items()},
        figures=_figures(labelled, counts),
        intervals=bootstrap_intervals(labelled),
        stops=_stops(labelled),
        leaves=_leaves(leaves, counts),
        bins=reliability_bins(confidence, right),
        confusions={LEAF_CONFUSION: ConfusionMatrix(leaves, counts)}
        | _decision_confusions(labelled),
        sources=_rates_by_source(labelled, measures),
        operating_points=[operating_point(confidence, right, each) for each in THRESHOLDS],
        coverage_at_precision=coverage_at_precision(confidence, right),
    )


def _figures(labelled: LabelledPredictions, counts: np.ndarray) -> dict[str, float | None]:
    taxonomy, known, in_scope = labelled.routing.taxonomy, labelled.leaf_known, labelled.in_scope
    names = np.array(taxonomy.leaves)
    truths = names[labelled.true_leaf[known]].tolist()
    best = names[labelled.best_leaf[known]].tolist()
    labels = [labelled.predictions[n].label for n in np.flatnonzero(known)]
    scope = [n for n, leaf in enumerate(taxonomy.leaves) if leaf != taxonomy.out_of_scope]
    right, confidence = labelled.leaf_right, labelled.confidence
    precision, recall, f1 = hierarchical_scores(truths, best)
    stopped = hierarchical_scores(truths, labels)
    return {
        "macro-F1 of the leaves, in scope": macro_f1(counts, scope),
        "hierarchical precision": precision,
        "hierarchical recall": recall,
        "hierarchical F1": f1,
        "hierarchical precision, stopped labels": stopped[0],
        "hierarchical recall, stopped labels": stopped[1],
        "hierarchical F1, stopped labels": stopped[2],
        "mean tree distance of the mistakes": mean_tree_distance(truths, best),
        "mean tree distance of all labels": _mean_distance(truths, labels),
        "calibration error, leaf, in scope": expected_calibration_error(
            confidence[in_scope], right[in_scope]
        ),
        "calibration error, leaf": expected_calibration_error(confidence[known], right[known]),
    }


def _mean_distance(truths: Sequence[str], labels: Sequence[str]) -> float | None:
    """The mean tree distance of all labels: what decoding by ``tree_distance`` minimises."""
    mean = mean_tree_distance(truths, labels)
    wrong = sum(truth != label for truth, label in zip(truths, labels, strict=True))
    return None if not truths else (mean or 0.0) * wrong / len(truths)


def _decision_confusions(labelled: LabelledPredictions) -> dict[str, ConfusionMatrix]:
    found = {}
    for number, decision in enumerate(labelled.routing.decisions):
        _, truth, predicted = labelled.decision(number)
        names = np.array(decision.outcomes)
        counts = confusion_matrix(
            names[truth].tolist(), names[predicted].tolist(), decision.outcomes
        )
        found[decision.node or PRIMARY] = ConfusionMatrix(decision.outcomes, counts)
    return found


def _stops(labelled: LabelledPredictions) -> list[StopResult]:
    correctness, thresholds = labelled.label_correctness(), labelled.routing.thresholds
    labels = np.array([each.label for each in labelled.predictions])
    return [
        StopResult(
            node.path,
            thresholds.get(node.path, 0.0),
            Rate.of(correctness.right[correctness.counted & (labels == node.path)]),
        )
        for node in labelled.routing.taxonomy.nodes
    ]


def _rates_by_source(
    labelled: LabelledPredictions, measures: Mapping[str, Correctness]
) -> dict[str, dict[str, Rate]]:
    """The rates of each source's pictures; empty for a single source."""
    sources = np.array([item.source for item in labelled.items])
    if len(set(sources.tolist())) < 2:
        return {}
    return {
        source: {
            name: Rate.of(each.right[each.counted & (sources == source)])
            for name, each in measures.items()
        }
        for source in sorted(set(sources.tolist()))
    }


def _leaves(leaves: Sequence[str], counts: np.ndarray) -> list[LeafResult]:
    return [
        LeafResult(leaf, Rate(int(counts[n, n]), int(counts[n].sum())), f1)
        for n, (leaf, f1) in enumerate(zip(leaves, f1_per_class(counts), strict=True))
    ]
