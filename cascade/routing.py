"""From logits to labels: probabilities down the tree, and where a label stops.

The probability of a node is the sum over the leaves below it, and the probability of a leaf the
product of its decisions on the way down. Each row is worked on its own: a label never depends on
the pictures that share its batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cascade.taxonomy import Decision, Taxonomy

THRESHOLDS = "thresholds"
TREE_DISTANCE = "tree_distance"
DECODINGS = (THRESHOLDS, TREE_DISTANCE)


@dataclass(frozen=True)
class Prediction:
    """What a cascade says of one picture; the confidences are probabilities, 0 to 1.

    ``label`` is the answer, stopped where the cascade is no longer sure; ``category``, ``gender``
    and ``type`` are the parts that stand in it. ``best_leaf`` is the most probable leaf before any
    threshold; the confidence of a level is that of ``best_leaf``'s node at that level.
    ``confidence`` is the label's own probability; ``margin`` how far ``best_leaf`` is ahead of the
    next leaf or the next category.
    """

    label: str
    best_leaf: str
    category: str | None
    gender: str | None
    type: str | None
    category_confidence: float | None
    gender_confidence: float | None
    type_confidence: float | None
    confidence: float
    margin: float
    needs_review: bool


@dataclass(frozen=True)
class Routing:
    """How logits become labels: the tree, its decisions, and what calibration found.

    ``temperatures`` divide a decision's logits (by node; 1 where absent). ``thresholds`` are the
    least probability at which a node may be a label (by path; 0 where absent). ``decoding`` says
    how a label is chosen: ``thresholds`` takes the deepest node that is sure enough,
    ``tree_distance`` the node that is expected to lie nearest to the truth, sure or not.
    """

    taxonomy: Taxonomy
    decisions: tuple[Decision, ...]
    temperatures: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    decoding: str = THRESHOLDS

    def __post_init__(self) -> None:
        if self.decoding not in DECODINGS:
            raise ValueError(
                f"decoding: expected one of {', '.join(DECODINGS)}, received {self.decoding!r}"
            )

    def columns(self, decision: Decision) -> slice:
        """Where a decision's outcomes stand among all logits."""
        start = 0
        for other in self.decisions:
            if other == decision:
                return slice(start, start + len(other.outcomes))
            start += len(other.outcomes)
        raise ValueError(f"the decision over {decision.node!r} is not part of this cascade")

    @property
    def width(self) -> int:
        """How many logits a picture has: K."""
        return sum(len(decision.outcomes) for decision in self.decisions)

    def outcome_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """``(N, K)`` logits to ``(N, K)`` float64 probabilities, each decision summing to 1."""
        if logits.ndim != 2 or logits.shape[1] != self.width:
            raise ValueError(f"logits: expected (N, {self.width}), received {logits.shape}")
        result = np.empty(logits.shape, np.float64)
        for decision in self.decisions:
            columns = self.columns(decision)
            scaled = logits[:, columns].astype(np.float64)
            scaled /= self.temperatures.get(decision.node, 1.0)
            result[:, columns] = softmax(scaled)
        return result

    def leaf_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """``(N, K)`` logits to ``(N, leaves)`` float64 path probabilities; rows sum to 1."""
        outcomes = self.outcome_probabilities(logits)
        leaves = np.ones((len(logits), len(self.taxonomy.leaves)), np.float64)
        for decision in self.decisions:
            first = self.columns(decision).start
            for number, outcome in enumerate(decision.outcomes):
                leaves[:, self._leaf_mask(outcome)] *= outcomes[:, first + number, None]
        return leaves

    def label(self, logits: np.ndarray) -> list[Prediction]:
        """One prediction for each row of ``(N, K)`` logits."""
        primary = self.outcome_probabilities(logits)[:, : len(self.decisions[0].outcomes)]
        leaves = self.leaf_probabilities(logits)
        return [
            self._label_one(primary_row, leaf_row)
            for primary_row, leaf_row in zip(primary, leaves, strict=True)
        ]

    def _label_one(self, primary: np.ndarray, leaves: np.ndarray) -> Prediction:
        best_category = int(primary.argmax())
        category = self.decisions[0].outcomes[best_category]
        inside = np.where(self._leaf_mask(category), leaves, -1.0)
        best = int(inside.argmax())
        best_leaf = self.taxonomy.leaves[best]
        rivals = np.delete(inside, best).max(initial=0.0)
        other_category = np.delete(primary, best_category).max(initial=0.0)
        label, confidence, sure = self._stop(category, leaves)
        levels = self.taxonomy.levels(label)
        confidences = self._level_confidences(best_leaf, leaves)
        return Prediction(
            label=label,
            best_leaf=best_leaf,
            category=levels["category"],
            gender=levels["gender"],
            type=levels["type"],
            category_confidence=confidences["category"],
            gender_confidence=confidences["gender"],
            type_confidence=confidences["type"],
            confidence=_unit(confidence),
            margin=_unit(leaves[best] - max(rivals, other_category, 0.0)),
            needs_review=not sure or label not in self.taxonomy.leaves,
        )

    def _stop(self, category: str, leaves: np.ndarray) -> tuple[str, float, bool]:
        """The deepest node in the category that is sure enough; never above the category.

        Answers with the node, its probability, and whether it passes its own threshold.
        """
        if self.decoding == TREE_DISTANCE:
            return self._nearest(category, leaves)
        for nodes in self._by_depth(category):
            sums = [float(leaves[self._leaf_mask(node)].sum()) for node in nodes]
            best = int(np.argmax(sums))
            if sums[best] >= self.thresholds.get(nodes[best], 0.0):
                return nodes[best], sums[best], True
        return category, float(leaves[self._leaf_mask(category)].sum()), False

    def _nearest(self, category: str, leaves: np.ndarray) -> tuple[str, float, bool]:
        """The node of the category whose expected number of edges to the true leaf is least.

        A node's distance to a leaf is the nodes that one of them claims and the other does not, so
        going down to a node pays as long as its probability is above one half.
        """
        best, least = category, math.inf
        for nodes in self._by_depth(category):
            for node in nodes:
                expected = float(leaves @ self._distances(node))
                if expected < least:
                    best, least = node, expected
        probability = float(leaves[self._leaf_mask(best)].sum())
        return best, probability, probability >= self.thresholds.get(best, 0.0)

    def _distances(self, node: str) -> np.ndarray:
        """``(leaves,)``: how many edges of the tree lie between a node and each leaf."""
        cache: dict[str, np.ndarray] = self.__dict__.setdefault("_distance_cache", {})
        if node not in cache:
            claimed = _claims(node)
            cache[node] = np.array(
                [len(claimed ^ _claims(leaf)) for leaf in self.taxonomy.leaves], np.float64
            )
        return cache[node]

    def _by_depth(self, category: str) -> list[list[str]]:
        """The category's nodes, the deepest level first."""
        depths: dict[int, list[str]] = {}
        for node in self.taxonomy.nodes:
            if self.taxonomy.category(node.path) == category:
                depths.setdefault(node.path.count("/"), []).append(node.path)
        return [depths[depth] for depth in sorted(depths, reverse=True)]

    def _level_confidences(self, leaf: str, leaves: np.ndarray) -> dict[str, float | None]:
        found: dict[str, float | None] = {"category": None, "gender": None, "type": None}
        parts = leaf.split("/")
        for depth in range(len(parts)):
            node = self.taxonomy.by_path["/".join(parts[: depth + 1])]
            if node.level is not None:
                found[node.level] = _unit(float(leaves[self._leaf_mask(node.path)].sum()))
        return found

    def _leaf_mask(self, path: str) -> np.ndarray:
        """``(leaves,)`` bool: which leaves lie below a node."""
        masks = self.__dict__.get("_masks")
        if masks is None:
            masks = {
                node.path: np.array(
                    [leaf in self.taxonomy.leaves_below(node.path) for leaf in self.taxonomy.leaves]
                )
                for node in self.taxonomy.nodes
            }
            object.__setattr__(self, "_masks", masks)  # a cache; the dataclass stays a value
        mask: np.ndarray = masks[path]
        return mask


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax of ``(N, k)``, shifted so that it cannot overflow."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


def _claims(path: str) -> frozenset[str]:
    """A node and all nodes above it, without the root."""
    parts = path.split("/")
    return frozenset("/".join(parts[: end + 1]) for end in range(len(parts)))


def _unit(value: float) -> float:
    """A probability again, where rounding left it a hair outside."""
    return min(1.0, max(0.0, float(value)))
