"""The answers of a cascade beside the truth: what every measure is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cascade.chunks import chunks
from cascade.classifier import Cascade
from cascade.data.dataset import Item, targets
from cascade.decisions import DecisionSet
from cascade.evaluation.metrics import correct_at, fits_matrix, leaves_below_mask
from cascade.routing import Prediction, Routing

PRIMARY = "primary"
LEAF = "leaf, in scope"
LABEL = "labels right, at any depth"


@dataclass(frozen=True)
class Outcome:
    """One question put to every picture: ``(N,)`` whether it counts, and whether it is right."""

    right: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Answers:
    """``(N, K)`` logits of every network, what they mean, and the truth as far as it is known."""

    routing: Routing
    logits: np.ndarray
    items: Sequence[Item]
    predictions: list[Prediction] = field(init=False)
    probabilities: np.ndarray = field(init=False)  # (N, leaves)
    fits: np.ndarray = field(init=False)  # (N, leaves) bool
    known: np.ndarray = field(init=False)  # (N,) bool: one leaf fits
    inside: np.ndarray = field(init=False)  # (N,) bool: known, and in scope
    truth: np.ndarray = field(init=False)  # (N,) leaf index; means something where known
    best: np.ndarray = field(init=False)  # (N,) leaf index of the best leaf

    def __post_init__(self) -> None:
        taxonomy = self.routing.taxonomy
        index = {leaf: number for number, leaf in enumerate(taxonomy.leaves)}
        predictions = self.routing.label(self.logits)
        fits = fits_matrix([item.label for item in self.items], taxonomy)
        known = fits.sum(axis=1) == 1
        outside = np.array([i.label == taxonomy.out_of_scope for i in self.items], bool)
        best = np.array([index[answer.best_leaf] for answer in predictions], int)
        found = {
            "predictions": predictions,
            "probabilities": self.routing.leaf_probabilities(self.logits),
            "fits": fits,
            "known": known,
            "inside": known & ~outside,
            "truth": fits.argmax(axis=1),
            "best": best,
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)  # worked out once; the rest stays frozen

    @property
    def certainty(self) -> np.ndarray:
        """``(N,)`` probability of the best leaf."""
        result: np.ndarray = self.probabilities[np.arange(len(self.best)), self.best]
        return result

    def outcomes(self) -> dict[str, Outcome]:
        """Every question whose answer is right or wrong, by the name it has in a report."""
        found = {
            decision.node or PRIMARY: self.decision(number)[0]
            for number, decision in enumerate(self.routing.decisions)
        }
        found |= self._levels()
        found[LEAF] = Outcome(self.best == self.truth, self.inside)
        return found | self._scope() | self._stops()

    def decision(self, number: int) -> tuple[Outcome, np.ndarray, np.ndarray]:
        """One decision on the pictures that do lie below its node, and the known ones' truth
        and answer as outcome numbers."""
        decision = self.routing.decisions[number]
        columns = self.routing.decisions.columns[number]
        fits = targets(self.items, DecisionSet([decision]), self.routing.taxonomy)
        truth, said = fits.argmax(axis=1), self.logits[:, columns].argmax(axis=1)
        settled = fits.sum(axis=1) == 1
        return Outcome(truth == said, settled), truth[settled], said[settled]

    def label_right(self) -> Outcome:
        """Whether the label, stopped where it is, is right, and whether that can be said."""
        right, known = np.zeros(len(self.items), bool), np.zeros(len(self.items), bool)
        labels = np.array([answer.label for answer in self.predictions])
        for node in set(labels.tolist()):
            here = labels == node
            right[here], known[here] = correct_at(node, self.fits[here], self.routing.taxonomy)
        return Outcome(right, known)

    def _levels(self) -> dict[str, Outcome]:
        """Gender and type, given the right category: the level's most probable value."""
        taxonomy = self.routing.taxonomy
        found = {}
        for category in taxonomy.children(None):
            below = np.flatnonzero(leaves_below_mask(taxonomy, category))
            rows = self.fits[:, below].sum(axis=1) == self.fits.sum(axis=1)
            for level in ("gender", "type"):
                values = [taxonomy.levels(taxonomy.leaves[n])[level] for n in below]
                names = sorted({value for value in values if value is not None})
                if len(names) < 2 or None in values:
                    continue
                member = np.array([[value == name for value in values] for name in names])
                fits = (self.fits[:, below] @ member.T) > 0
                sums = self.probabilities[:, below] @ member.T
                right = fits.argmax(axis=1) == sums.argmax(axis=1)
                found[f"{category} {level}"] = Outcome(right, rows & (fits.sum(axis=1) == 1))
        return found

    def _scope(self) -> dict[str, Outcome]:
        outside = self.routing.taxonomy.out_of_scope
        if outside is None:
            return {}
        true = np.array([item.label == outside for item in self.items], bool)
        said = np.array([answer.best_leaf == outside for answer in self.predictions], bool)
        return {"out_of_scope found": Outcome(said, true), "in-scope lost": Outcome(said, ~true)}

    def _stops(self) -> dict[str, Outcome]:
        """What the thresholds make of it: how many labels are leaves, and how many are right."""
        taxonomy, label = self.routing.taxonomy, self.label_right()
        labels = [answer.label for answer in self.predictions]
        scope = set(taxonomy.leaves) - {taxonomy.out_of_scope}
        named = np.array([text in scope for text in labels], bool)
        sure = np.array([not answer.needs_review for answer in self.predictions], bool)
        return {
            LABEL: label,
            "labels without review": Outcome(sure, np.ones(len(labels), bool)),
            "labels without review right": Outcome(label.right, label.counts & sure),
            "leaf labels right": Outcome(label.right, label.counts & named),
            "leaf labels' coverage, in scope": Outcome(named, self.inside),
        }


def every_logit(cascade: Cascade, pixels: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """``(N, K)`` float32: each network asked about each picture, also those not routed to it.

    Only so can a decision be judged given that the ones above it were right.
    """
    decisions = cascade.bundle.decisions
    result = np.zeros((len(pixels), decisions.width), np.float32)
    for run, own in zip(cascade.runners, cascade.bundle.decisions_of_network, strict=True):
        for part in chunks(len(pixels), batch_size):
            logits = run(np.ascontiguousarray(pixels[part]))
            for decision, columns in own.with_columns():
                result[part, decisions.columns_of(decision)] = logits[:, columns]
    return result
