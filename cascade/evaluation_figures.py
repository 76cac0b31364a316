"""Everything that is measured of a cascade on labelled pictures, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cascade.classifier import Cascade
from cascade.dataset import Item, batches, targets
from cascade.evaluation import (
    Bin,
    Rate,
    calibration_error,
    class_f1,
    confusion,
    correct_at,
    fits_matrix,
    hierarchical_scores,
    macro_f1,
    mean_tree_distance,
    reliability,
)
from cascade.routing import Prediction, Routing
from cascade.taxonomy import Taxonomy

PRIMARY = "primary"


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
    """What ``judge`` measured. ``rates`` are shares with counts, ``numbers`` plain figures."""

    pictures: int
    partly_known: int
    rates: dict[str, Rate]
    numbers: dict[str, float | None]
    stops: list[StopRow]
    leaves: list[LeafRow]
    bins: list[Bin]
    confusions: dict[str, Confusion]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries; the confusion matrices as counts."""
        return {
            "pictures": self.pictures,
            "partly_known": self.partly_known,
            "rates": {name: rate.to_json() for name, rate in self.rates.items()},
            "numbers": dict(self.numbers),
            "thresholds": [
                {"node": row.node, "threshold": row.threshold} | row.rate.to_json()
                for row in self.stops
            ],
            "leaves": [
                {"leaf": row.leaf, "f1": row.f1} | row.found.to_json() for row in self.leaves
            ],
            "reliability": [asdict(bar) for bar in self.bins],
            "confusion": {name: each.to_json() for name, each in self.confusions.items()},
        }


def every_logit(cascade: Cascade, pixels: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """``(N, K)`` float32: each network asked about each picture, also those not routed to it.

    Only so can a decision be judged given that the ones above it were right.
    """
    routing, numbers = cascade.routing, cascade.bundle.network_of_decision
    result = np.zeros((len(pixels), routing.width), np.float32)
    for number, run in enumerate(cascade.runners):
        columns = np.concatenate(
            [
                np.arange(routing.width)[routing.columns(decision)]
                for decision, of in zip(routing.decisions, numbers, strict=True)
                if of == number
            ]
        )
        for part in batches(len(pixels), batch_size):
            result[part, columns] = run(np.ascontiguousarray(pixels[part]))
    return result


def judge(routing: Routing, logits: np.ndarray, items: Sequence[Item]) -> Evaluation:
    """Measure ``(N, K)`` logits of every network against the items' labels."""
    return _Judged(routing, logits, items).evaluation()


class _Judged:
    """The answers beside the truth, and the parts of an evaluation made from them."""

    def __init__(self, routing: Routing, logits: np.ndarray, items: Sequence[Item]) -> None:
        self.routing, self.taxonomy, self.logits = routing, routing.taxonomy, logits
        self.items = tuple(items)
        self.labels = [item.label for item in items]
        self.fits = fits_matrix(self.labels, self.taxonomy)
        self.known = self.fits.sum(axis=1) == 1
        self.truth = [self.taxonomy.leaves[n] for n in self.fits.argmax(axis=1)]
        self.answers: list[Prediction] = routing.label(logits)
        outside = self.taxonomy.out_of_scope
        self.outside = np.array([label == outside for label in self.labels], bool)
        self.said_outside = np.array([a.best_leaf == outside for a in self.answers], bool)
        self.inside = self.known & ~self.outside

    def evaluation(self) -> Evaluation:
        best = [answer.best_leaf for answer in self.answers]
        hits = np.array([b == t for b, t in zip(best, self.truth, strict=True)], bool)
        known = np.flatnonzero(self.known)
        true_known = [self.truth[n] for n in known]
        leaf_table = confusion(true_known, [best[n] for n in known], self.taxonomy.leaves)
        scope = [n for n, leaf in enumerate(self.taxonomy.leaves) if leaf != self._outside_leaf]
        inside = np.flatnonzero(self.inside)
        certainty = self._best_leaf_probability()
        rates = self._decision_rates() | self._level_rates()
        rates["leaf, in scope"] = Rate.of(hits[self.inside])
        rates |= self._scope_rates() | self._stop_rates()
        precision, recall, f1 = hierarchical_scores(true_known, [best[n] for n in known])
        stopped = hierarchical_scores(true_known, [self.answers[n].label for n in known])
        numbers: dict[str, float | None] = {
            "macro-F1 of the leaves, in scope": macro_f1(leaf_table, scope),
            "hierarchical precision": precision,
            "hierarchical recall": recall,
            "hierarchical F1": f1,
            "hierarchical precision, stopped labels": stopped[0],
            "hierarchical recall, stopped labels": stopped[1],
            "hierarchical F1, stopped labels": stopped[2],
            "mean tree distance of the mistakes": mean_tree_distance(
                true_known, [best[n] for n in known]
            ),
            "calibration error, leaf, in scope": calibration_error(certainty[inside], hits[inside]),
            "calibration error, leaf": calibration_error(certainty[known], hits[known]),
        }
        return Evaluation(
            pictures=len(self.items),
            partly_known=int((~self.known).sum()),
            rates=rates,
            numbers=numbers,
            stops=self._stops(),
            leaves=_leaf_rows(self.taxonomy, leaf_table),
            bins=reliability(certainty[inside], hits[inside]),
            confusions={"leaf": Confusion(self.taxonomy.leaves, leaf_table)} | self._decided(),
        )

    @property
    def _outside_leaf(self) -> str | None:
        return self.taxonomy.out_of_scope

    def _best_leaf_probability(self) -> np.ndarray:
        index = {leaf: number for number, leaf in enumerate(self.taxonomy.leaves)}
        chosen = [index[answer.best_leaf] for answer in self.answers]
        leaves = self.routing.leaf_probabilities(self.logits)
        result: np.ndarray = leaves[np.arange(len(chosen)), chosen]
        return result

    def _decision_rates(self) -> dict[str, Rate]:
        """Each decision's accuracy on the pictures that do lie below its node."""
        answers = targets(self.items, self.routing.decisions, self.taxonomy)
        rates = {}
        for decision in self.routing.decisions:
            columns = self.routing.columns(decision)
            settled = answers[:, columns].sum(axis=1) == 1
            right = answers[:, columns].argmax(axis=1) == self.logits[:, columns].argmax(axis=1)
            rates[decision.node or PRIMARY] = Rate.of(right[settled])
        return rates

    def _decided(self) -> dict[str, Confusion]:
        answers = targets(self.items, self.routing.decisions, self.taxonomy)
        found = {}
        for decision in self.routing.decisions:
            columns = self.routing.columns(decision)
            settled = answers[:, columns].sum(axis=1) == 1
            names = decision.outcomes
            truths = [names[n] for n in answers[settled, columns].argmax(axis=1)]
            said = [names[n] for n in self.logits[settled, columns].argmax(axis=1)]
            found[decision.node or PRIMARY] = Confusion(names, confusion(truths, said, names))
        return found

    def _level_rates(self) -> dict[str, Rate]:
        """Gender and type, given the right category: the level's most probable value."""
        leaves = self.routing.leaf_probabilities(self.logits)
        rates = {}
        for category in self.taxonomy.children(None):
            below = [
                n
                for n, leaf in enumerate(self.taxonomy.leaves)
                if leaf in self.taxonomy.leaves_below(category)
            ]
            rows = self.fits[:, below].sum(axis=1) == self.fits.sum(axis=1)
            for level in ("gender", "type"):
                values = [self.taxonomy.levels(self.taxonomy.leaves[n])[level] for n in below]
                names = sorted({value for value in values if value is not None})
                if len(names) < 2 or None in values:
                    continue
                member = np.array([[value == name for value in values] for name in names])
                fits = (self.fits[rows][:, below] @ member.T) > 0
                sums = leaves[rows][:, below] @ member.T
                settled = fits.sum(axis=1) == 1
                right = fits.argmax(axis=1) == sums.argmax(axis=1)
                rates[f"{category} {level}"] = Rate.of(right[settled])
        return rates

    def _scope_rates(self) -> dict[str, Rate]:
        if self._outside_leaf is None:
            return {}
        return {
            "out_of_scope found": Rate.of(self.said_outside[self.outside]),
            "in-scope lost": Rate.of(self.said_outside[~self.outside]),
        }

    def _stop_rates(self) -> dict[str, Rate]:
        """What the thresholds make of it: how many labels are leaves, and how many are right."""
        right, known = self._label_right()
        is_leaf = np.array([a.label in self.taxonomy.leaves for a in self.answers], bool)
        named = is_leaf & ~np.array([a.label == self._outside_leaf for a in self.answers], bool)
        sure = np.array([not a.needs_review for a in self.answers], bool)
        return {
            "labels right, at any depth": Rate.of(right[known]),
            "labels without review": Rate.of(sure),
            "labels without review right": Rate.of(right[known & sure]),
            "leaf labels right": Rate.of(right[known & named]),
            "leaf labels' coverage, in scope": Rate.of(named[self.inside]),
        }

    def _label_right(self) -> tuple[np.ndarray, np.ndarray]:
        """``(N,)`` bool twice: the stopped label is right; whether that can be said."""
        right, known = np.zeros(len(self.items), bool), np.zeros(len(self.items), bool)
        labels = np.array([answer.label for answer in self.answers])
        for node in set(labels.tolist()):
            here = labels == node
            right[here], known[here] = correct_at(node, self.fits[here], self.taxonomy)
        return right, known

    def _stops(self) -> list[StopRow]:
        right, known = self._label_right()
        labels = np.array([answer.label for answer in self.answers])
        return [
            StopRow(
                node.path,
                self.routing.thresholds.get(node.path, 0.0),
                Rate.of(right[known & (labels == node.path)]),
            )
            for node in self.taxonomy.nodes
        ]


def _leaf_rows(taxonomy: Taxonomy, table: np.ndarray) -> list[LeafRow]:
    return [
        LeafRow(leaf, Rate(int(table[n, n]), int(table[n].sum())), f1)
        for n, (leaf, f1) in enumerate(zip(taxonomy.leaves, class_f1(table), strict=True))
    ]
