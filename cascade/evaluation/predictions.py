"""A cascade's predictions beside the true labels: the input of every measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cascade.chunks import chunks
from cascade.classifier import Cascade
from cascade.data.dataset import Item, targets
from cascade.decisions import DecisionSet
from cascade.evaluation.metrics import (
    Rate,
    compatible_leaves_mask,
    correct_at,
    leaves_below_mask,
)
from cascade.routing import Prediction, Routing

PRIMARY = "primary"


@dataclass(frozen=True)
class Correctness:
    """One measure of every picture: ``(N,)`` bool whether it is right, and whether it counts.

    A picture does not count where its partly known label leaves the measure open.
    """

    right: np.ndarray
    counted: np.ndarray

    @property
    def rate(self) -> Rate:
        """The share that is right of the pictures that count."""
        return Rate.of(self.right[self.counted])


@dataclass(frozen=True)
class LabelledPredictions:
    """``(N, K)`` logits of all networks for N labelled pictures, and what follows from them.

    Attributes:
        predictions: What the cascade answers, one for each picture.
        probabilities: ``(N, leaves)`` float64, each row sums to 1.
        compatible: ``(N, leaves)`` bool, the leaves that are compatible with the true label.
        leaf_known: ``(N,)`` bool, one leaf only is compatible.
        in_scope: ``(N,)`` bool, the leaf is known and is not out of scope.
        true_leaf: ``(N,)`` leaf index, valid where ``leaf_known``.
        best_leaf: ``(N,)`` leaf index of the most probable leaf.
    """

    routing: Routing
    logits: np.ndarray
    items: Sequence[Item]
    predictions: list[Prediction] = field(init=False)
    probabilities: np.ndarray = field(init=False)
    compatible: np.ndarray = field(init=False)
    leaf_known: np.ndarray = field(init=False)
    in_scope: np.ndarray = field(init=False)
    true_leaf: np.ndarray = field(init=False)
    best_leaf: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        taxonomy = self.routing.taxonomy
        index = {leaf: number for number, leaf in enumerate(taxonomy.leaves)}
        predictions = self.routing.label(self.logits)
        compatible = compatible_leaves_mask([item.label for item in self.items], taxonomy)
        leaf_known = compatible.sum(axis=1) == 1
        values = {
            "predictions": predictions,
            "probabilities": self.routing.leaf_probabilities(self.logits),
            "compatible": compatible,
            "leaf_known": leaf_known,
            "in_scope": leaf_known & ~self._out_of_scope(),
            "true_leaf": compatible.argmax(axis=1),
            "best_leaf": np.array([index[each.best_leaf] for each in predictions], int),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)  # computed once; the dataclass stays frozen

    @property
    def confidence(self) -> np.ndarray:
        """``(N,)`` probability of the best leaf."""
        result: np.ndarray = self.probabilities[np.arange(len(self.best_leaf)), self.best_leaf]
        return result

    @property
    def leaf_right(self) -> np.ndarray:
        """``(N,)`` bool whether the best leaf is the true one, valid where ``leaf_known``."""
        result: np.ndarray = self.best_leaf == self.true_leaf
        return result

    def measures(self) -> dict[str, Correctness]:
        """Every measure that is a share, by its name in a report."""
        decisions = {
            decision.node or PRIMARY: self.decision(number)[0]
            for number, decision in enumerate(self.routing.decisions)
        }
        leaf = {"leaf, in scope": Correctness(self.leaf_right, self.in_scope)}
        return decisions | self._levels() | leaf | self._scope() | self._labels()

    def decision(self, number: int) -> tuple[Correctness, np.ndarray, np.ndarray]:
        """One decision, measured on the pictures that belong below its node.

        Returns:
            The correctness; then, for the pictures that count, ``(n,)`` outcome indices of the
            truth and of the prediction.
        """
        decision = self.routing.decisions[number]
        columns = self.routing.decisions.columns[number]
        wanted = targets(self.items, DecisionSet([decision]), self.routing.taxonomy)
        truth, predicted = wanted.argmax(axis=1), self.logits[:, columns].argmax(axis=1)
        counted = wanted.sum(axis=1) == 1
        return Correctness(truth == predicted, counted), truth[counted], predicted[counted]

    def label_correctness(self) -> Correctness:
        """Whether each label is right down to the node where it stops."""
        right, known = np.zeros(len(self.items), bool), np.zeros(len(self.items), bool)
        labels = np.array([each.label for each in self.predictions])
        for node in set(labels.tolist()):
            here = labels == node
            right[here], known[here] = correct_at(
                node, self.compatible[here], self.routing.taxonomy
            )
        return Correctness(right, known)

    def _levels(self) -> dict[str, Correctness]:
        """Gender and type, given the right category: the level's most probable value."""
        taxonomy = self.routing.taxonomy
        found = {}
        for category in taxonomy.children(None):
            below = np.flatnonzero(leaves_below_mask(taxonomy, category))
            rows = self.compatible[:, below].sum(axis=1) == self.compatible.sum(axis=1)
            for level in ("gender", "type"):
                values = [taxonomy.levels(taxonomy.leaves[n])[level] for n in below]
                names = sorted({value for value in values if value is not None})
                if len(names) < 2 or None in values:
                    continue
                member = np.array([[value == name for value in values] for name in names])
                wanted = (self.compatible[:, below] @ member.T) > 0  # (N, names)
                sums = self.probabilities[:, below] @ member.T  # (N, names)
                found[f"{category} {level}"] = Correctness(
                    wanted.argmax(axis=1) == sums.argmax(axis=1), rows & (wanted.sum(axis=1) == 1)
                )
        return found

    def _scope(self) -> dict[str, Correctness]:
        leaf, outside = self.routing.taxonomy.out_of_scope, self._out_of_scope()
        if leaf is None:
            return {}
        predicted = np.array([each.best_leaf == leaf for each in self.predictions], bool)
        return {
            "out_of_scope found": Correctness(predicted, outside),
            "in-scope lost": Correctness(predicted, ~outside),
        }

    def _labels(self) -> dict[str, Correctness]:
        """The effect of the thresholds: how many labels are leaves, and how many are right."""
        taxonomy, label = self.routing.taxonomy, self.label_correctness()
        leaves = set(taxonomy.leaves) - {taxonomy.out_of_scope}
        is_leaf = np.array([each.label in leaves for each in self.predictions], bool)
        unreviewed = np.array([not each.needs_review for each in self.predictions], bool)
        return {
            "labels right, at any depth": label,
            "labels without review": Correctness(unreviewed, np.ones(len(self.items), bool)),
            "labels without review right": Correctness(label.right, label.counted & unreviewed),
            "leaf labels right": Correctness(label.right, label.counted & is_leaf),
            "leaf labels' coverage, in scope": Correctness(is_leaf, self.in_scope),
        }

    def _out_of_scope(self) -> np.ndarray:
        """``(N,)`` bool whether the true label is out of scope."""
        leaf = self.routing.taxonomy.out_of_scope
        return np.array([item.label == leaf for item in self.items], bool)


def all_logits(cascade: Cascade, pixels: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """``(N, K)`` float32 logits of every network for every picture, routed to it or not.

    A decision can be measured "given that the ones above it are right" only with all of them.
    ``pixels`` are ``(N, height, width, 3)`` uint8.
    """
    decisions = cascade.bundle.decisions
    result = np.zeros((len(pixels), decisions.width), np.float32)
    for run, own in zip(cascade.runners, cascade.bundle.decisions_of_network, strict=True):
        for part in chunks(len(pixels), batch_size):
            logits = run(np.ascontiguousarray(pixels[part]))
            for decision, columns in own.with_columns():
                result[part, decisions.columns_of(decision)] = logits[:, columns]
    return result
