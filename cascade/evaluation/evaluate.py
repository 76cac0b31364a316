"""Everything that is measured of a cascade on labelled pictures, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cascade.data.dataset import Item
from cascade.evaluation.answers import PRIMARY, Answers
from cascade.evaluation.bootstrap import group_intervals
from cascade.evaluation.metrics import (
    Bin,
    Rate,
    calibration_error,
    class_f1,
    confusion,
    hierarchical_scores,
    macro_f1,
    mean_tree_distance,
    reliability,
)
from cascade.evaluation.risk_coverage import THRESHOLDS, Cut, cut_at, widest_cuts
from cascade.routing import Routing

LEAF_CONFUSION = "leaf"


@dataclass(frozen=True)
class Confusion:
    """Counts by truth (row) and answer (column), both in the order of ``names``."""

    names: tuple[str, ...]
    table: np.ndarray

    def to_json(self) -> dict[str, Any]:
        return {"names": list(self.names), "table": self.table.tolist()}


@dataclass(frozen=True)
class StopRow:
    """Labels that stop at one node: its threshold, and how many of them are right."""

    node: str
    threshold: float
    rate: Rate


@dataclass(frozen=True)
class LeafRow:
    """One leaf: how many of its pictures are found, and its F1."""

    leaf: str
    found: Rate
    f1: float | None


@dataclass(frozen=True)
class Evaluation:
    """What ``judge`` measured. ``rates`` are shares with counts, ``numbers`` plain figures.

    ``intervals`` are the numbers' 95 % bootstrap intervals, ``sources`` the rates by source.
    ``cuts`` and ``widest`` (by precision) are what one threshold on the best leaf would give.
    """

    pictures: int
    partly_known: int
    rates: dict[str, Rate]
    numbers: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    stops: list[StopRow]
    leaves: list[LeafRow]
    bins: list[Bin]
    confusions: dict[str, Confusion]
    sources: dict[str, dict[str, Rate]] = field(default_factory=dict)
    cuts: list[Cut] = field(default_factory=list)
    widest: dict[float, Cut] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries; the confusion matrices as counts."""
        return {
            "pictures": self.pictures,
            "partly_known": self.partly_known,
            "rates": {name: rate.to_json() for name, rate in self.rates.items()},
            "numbers": dict(self.numbers),
            "intervals": {name: list(span) for name, span in self.intervals.items()},
            "thresholds": [
                {"node": row.node, "threshold": row.threshold} | row.rate.to_json()
                for row in self.stops
            ],
            "cuts": [cut.to_json() for cut in self.cuts],
            "widest_cuts": {f"{aim:g}": cut.to_json() for aim, cut in self.widest.items()},
            "leaves": [
                {"leaf": row.leaf, "f1": row.f1} | row.found.to_json() for row in self.leaves
            ],
            "reliability": [asdict(bar) for bar in self.bins],
            "sources": {
                source: {name: rate.to_json() for name, rate in rates.items()}
                for source, rates in self.sources.items()
            },
            "confusion": {name: each.to_json() for name, each in self.confusions.items()},
        }


def judge(routing: Routing, logits: np.ndarray, items: Sequence[Item]) -> Evaluation:
    """Measure ``(N, K)`` logits of every network against the items' labels."""
    return evaluation_of(Answers(routing, logits, items))


def evaluation_of(answers: Answers) -> Evaluation:
    """The whole evaluation of answers that are worked out already."""
    taxonomy, outcomes = answers.routing.taxonomy, answers.outcomes()
    known, inside = answers.known, answers.inside
    names = np.array(taxonomy.leaves)
    table = confusion(
        names[answers.truth[known]].tolist(), names[answers.best[known]].tolist(), taxonomy.leaves
    )
    hits, certainty = answers.best == answers.truth, answers.certainty
    sure, right = certainty[inside], hits[inside]
    return Evaluation(
        pictures=len(answers.items),
        partly_known=int((~known).sum()),
        rates={name: Rate.of(each.right[each.counts]) for name, each in outcomes.items()},
        numbers=_numbers(answers, table),
        intervals=group_intervals(answers),
        stops=_stops(answers),
        leaves=_leaf_rows(taxonomy.leaves, table),
        bins=reliability(sure, right),
        confusions={LEAF_CONFUSION: Confusion(taxonomy.leaves, table)} | _decided(answers),
        sources=_by_source(answers),
        cuts=[cut_at(sure, right, threshold) for threshold in THRESHOLDS],
        widest=widest_cuts(sure, right),
    )


def _numbers(answers: Answers, table: np.ndarray) -> dict[str, float | None]:
    taxonomy, known, inside = answers.routing.taxonomy, answers.known, answers.inside
    names = np.array(taxonomy.leaves)
    truths = names[answers.truth[known]].tolist()
    best = names[answers.best[known]].tolist()
    labels = [answers.predictions[n].label for n in np.flatnonzero(known)]
    scope = [n for n, leaf in enumerate(taxonomy.leaves) if leaf != taxonomy.out_of_scope]
    hits, certainty = answers.best == answers.truth, answers.certainty
    precision, recall, f1 = hierarchical_scores(truths, best)
    stopped = hierarchical_scores(truths, labels)
    return {
        "macro-F1 of the leaves, in scope": macro_f1(table, scope),
        "hierarchical precision": precision,
        "hierarchical recall": recall,
        "hierarchical F1": f1,
        "hierarchical precision, stopped labels": stopped[0],
        "hierarchical recall, stopped labels": stopped[1],
        "hierarchical F1, stopped labels": stopped[2],
        "mean tree distance of the mistakes": mean_tree_distance(truths, best),
        "mean tree distance of all labels": _mean_distance(truths, labels),
        "calibration error, leaf, in scope": calibration_error(certainty[inside], hits[inside]),
        "calibration error, leaf": calibration_error(certainty[known], hits[known]),
    }


def _mean_distance(truths: Sequence[str], labels: Sequence[str]) -> float | None:
    """Right labels count as 0: what expected-distance decoding makes least."""
    mean = mean_tree_distance(truths, labels)
    wrong = sum(truth != label for truth, label in zip(truths, labels, strict=True))
    return None if not truths else (mean or 0.0) * wrong / len(truths)


def _decided(answers: Answers) -> dict[str, Confusion]:
    found = {}
    for number, decision in enumerate(answers.routing.decisions):
        _, truth, said = answers.decision(number)
        names = np.array(decision.outcomes)
        table = confusion(names[truth].tolist(), names[said].tolist(), decision.outcomes)
        found[decision.node or PRIMARY] = Confusion(decision.outcomes, table)
    return found


def _stops(answers: Answers) -> list[StopRow]:
    outcome, thresholds = answers.label_right(), answers.routing.thresholds
    labels = np.array([answer.label for answer in answers.predictions])
    return [
        StopRow(
            node.path,
            thresholds.get(node.path, 0.0),
            Rate.of(outcome.right[outcome.counts & (labels == node.path)]),
        )
        for node in answers.routing.taxonomy.nodes
    ]


def _by_source(answers: Answers) -> dict[str, dict[str, Rate]]:
    """The rates of each source's pictures, where a manifest names more than one."""
    sources = np.array([item.source for item in answers.items])
    if len(set(sources.tolist())) < 2:
        return {}
    outcomes = answers.outcomes()
    return {
        source: {
            name: Rate.of(each.right[each.counts & (sources == source)])
            for name, each in outcomes.items()
        }
        for source in sorted(set(sources.tolist()))
    }


def _leaf_rows(leaves: Sequence[str], table: np.ndarray) -> list[LeafRow]:
    return [
        LeafRow(leaf, Rate(int(table[n, n]), int(table[n].sum())), f1)
        for n, (leaf, f1) in enumerate(zip(leaves, class_f1(table), strict=True))
    ]
