"""From logits to labels: probabilities down the tree, and where a label stops.

The probability of a node is the sum over the leaves below it, and the probability of a leaf the
product of its decisions on the way down. Each row is worked on its own: a label never depends on
the pictures that share its batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cascade.decisions import DecisionSet
from cascade.taxonomy import LEVELS, Taxonomy, lineage

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
    decisions: DecisionSet
    temperatures: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    decoding: str = THRESHOLDS

    def __post_init__(self) -> None:
        if self.decoding not in DECODINGS:
            raise ValueError(
                f"decoding: expected one of {', '.join(DECODINGS)}, received {self.decoding!r}"
            )

    def outcome_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """``(N, K)`` logits to ``(N, K)`` float64 probabilities, each decision summing to 1."""
        width = self.decisions.width
        if logits.ndim != 2 or logits.shape[1] != width:
            raise ValueError(f"logits: expected (N, {width}), received {logits.shape}")
        result = np.empty(logits.shape, np.float64)
        for decision, columns in self.decisions.with_columns():
            scaled = logits[:, columns].astype(np.float64)
            scaled /= self.temperatures.get(decision.node, 1.0)
            result[:, columns] = softmax(scaled)
        return result

    def leaf_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """``(N, K)`` logits to ``(N, leaves)`` float64 path probabilities; rows sum to 1."""
        outcomes = self.outcome_probabilities(logits)
        leaves = np.ones((len(logits), len(self.taxonomy.leaves)), np.float64)
        for column, outcome in enumerate(self.decisions.outcomes):
            leaves[:, self._arrays.masks[outcome]] *= outcomes[:, column, None]
        return leaves

    def label(self, logits: np.ndarray) -> list[Prediction]:
        """One prediction for each row of ``(N, K)`` logits."""
        arrays = self._arrays
        rows = np.arange(len(logits))
        primary = self.outcome_probabilities(logits)[:, self.decisions.columns[0]]
        leaves = self.leaf_probabilities(logits)  # (N, leaves)
        nodes = arrays.node_probabilities(leaves)  # (N, nodes)
        category = primary.argmax(axis=1)
        inside = np.where(arrays.leaves_of_category[category], leaves, -1.0)
        best = inside.argmax(axis=1)
        inside[rows, best] = primary[rows, category] = -1.0  # what is left are the rivals
        rivals = np.maximum(inside.max(axis=1), primary.max(axis=1)).clip(min=0.0)
        label, sure = self._stopping_nodes(category, nodes)
        margin = (leaves[rows, best] - rivals).clip(0.0, 1.0)
        # a hair outside of 0 to 1 is rounding; the column behind the last is "no such level"
        nodes = np.column_stack([nodes.clip(0.0, 1.0), np.full(len(rows), np.nan)])
        levels = np.take_along_axis(nodes, arrays.levels_of_leaf[best], axis=1)
        columns = (label, best, levels, nodes[rows, label], margin, sure)
        return [
            arrays.prediction(where, leaf, said, confidence=p, margin=ahead, sure=passes)
            for where, leaf, said, p, ahead, passes in zip(
                *(column.tolist() for column in columns), strict=True
            )
        ]

    def _stopping_nodes(
        self, category: np.ndarray, nodes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where each label stops: ``(N,)`` node numbers, and whether they pass their thresholds.

        ``category`` is ``(N,)``, the number of the primary answer; ``nodes`` ``(N, nodes)``.
        """
        stop = self._nearest if self.decoding == TREE_DISTANCE else self._deepest
        label = np.empty(len(category), np.int64)
        sure = np.empty(len(category), bool)
        for number in np.unique(category):
            rows = np.flatnonzero(category == number)
            label[rows], sure[rows] = stop(int(number), nodes[rows])
        return label, sure

    def _deepest(self, category: int, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The deepest node in the category that is sure enough; never above the category."""
        arrays = self._arrays
        label = np.full(len(nodes), arrays.category_nodes[category])
        sure = np.zeros(len(nodes), bool)
        for numbers in arrays.by_depth[category]:
            best = numbers[nodes[:, numbers].argmax(axis=1)]
            passes = ~sure & (nodes[np.arange(len(nodes)), best] >= arrays.thresholds[best])
            label[passes] = best[passes]
            sure |= passes
        return label, sure

    def _nearest(self, category: int, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The node of the category whose expected number of edges to the true leaf is least.

        Counted from the category, going down to a node costs an edge where the truth lies not
        below it and saves one where it does: it pays as long as its probability is above one half.
        """
        arrays = self._arrays
        label = np.full(len(nodes), arrays.category_nodes[category])
        least = np.full(len(nodes), np.inf)
        for numbers in arrays.by_depth[category]:
            for number in numbers:
                cost = np.zeros(len(nodes))
                for above in arrays.lineage[number]:
                    cost += 1.0 - 2.0 * nodes[:, above]
                nearer = cost < least
                label[nearer], least[nearer] = number, cost[nearer]
        return label, nodes[np.arange(len(nodes)), label] >= arrays.thresholds[label]

    @cached_property
    def _arrays(self) -> _TreeArrays:
        return _TreeArrays.of(self)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax of ``(N, k)``, shifted so that it cannot overflow."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


@dataclass(frozen=True)
class _TreeArrays:
    """What a tree says of its nodes and leaves, as arrays of numbers; made once for a routing.

    Nodes and leaves are numbered in the order of the taxonomy, categories in that of the primary
    decision's outcomes.
    """

    paths: tuple[str, ...]
    leaf_paths: tuple[str, ...]
    leaf_nodes: frozenset[int]  # the leaves, as node numbers
    levels: tuple[dict[str, str | None], ...]  # a node's columns in the catalogue
    masks: dict[str, np.ndarray]
    leaves_below: tuple[tuple[int, ...], ...]
    leaves_of_category: np.ndarray  # (categories, leaves) bool
    category_nodes: tuple[int, ...]
    by_depth: tuple[tuple[np.ndarray, ...], ...]  # a category's nodes, the deepest level first
    lineage: tuple[tuple[int, ...], ...]  # a node and those above it
    levels_of_leaf: np.ndarray  # (leaves, 3): its node at each level; the number of nodes: none
    thresholds: np.ndarray  # (nodes,)

    @classmethod
    def of(cls, routing: Routing) -> _TreeArrays:
        taxonomy = routing.taxonomy
        paths = tuple(node.path for node in taxonomy.nodes)
        number = {path: index for index, path in enumerate(paths)}
        leaf_number = {path: index for index, path in enumerate(taxonomy.leaves)}
        below = [tuple(leaf_number[leaf] for leaf in taxonomy.leaves_below(p)) for p in paths]
        masks = {
            path: np.isin(np.arange(len(leaf_number)), leaves)
            for path, leaves in zip(paths, below, strict=True)
        }
        categories = routing.decisions[0].outcomes
        return cls(
            paths=paths,
            leaf_paths=taxonomy.leaves,
            leaf_nodes=frozenset(number[leaf] for leaf in taxonomy.leaves),
            levels=tuple(taxonomy.levels(path) for path in paths),
            masks=masks,
            leaves_below=tuple(below),
            leaves_of_category=np.stack([masks[path] for path in categories]),
            category_nodes=tuple(number[path] for path in categories),
            by_depth=tuple(
                tuple(np.array([number[path] for path in nodes]) for nodes in depths)
                for depths in map(taxonomy.nodes_by_depth, categories)
            ),
            lineage=tuple(tuple(number[above] for above in lineage(path)) for path in paths),
            levels_of_leaf=np.array([_levels(taxonomy, p, number) for p in taxonomy.leaves]),
            thresholds=np.array([routing.thresholds.get(path, 0.0) for path in paths]),
        )

    def node_probabilities(self, leaves: np.ndarray) -> np.ndarray:
        """``(N, leaves)`` to ``(N, nodes)``. Added up leaf by leaf: the same in any batch."""
        result = np.zeros((len(leaves), len(self.paths)))
        for node, below in enumerate(self.leaves_below):
            for leaf in below:
                result[:, node] += leaves[:, leaf]
        return result

    def prediction(
        self,
        label: int,
        best: int,
        levels: list[float],
        *,
        confidence: float,
        margin: float,
        sure: bool,
    ) -> Prediction:
        """One row in words: node and leaf numbers to paths; a level that is none is NaN."""
        names = self.levels[label]
        category, gender, kind = (None if math.isnan(level) else level for level in levels)
        return Prediction(
            label=self.paths[label],
            best_leaf=self.leaf_paths[best],
            category=names["category"],
            gender=names["gender"],
            type=names["type"],
            category_confidence=category,
            gender_confidence=gender,
            type_confidence=kind,
            confidence=confidence,
            margin=margin,
            needs_review=not sure or label not in self.leaf_nodes,
        )


def _levels(taxonomy: Taxonomy, leaf: str, number: Mapping[str, int]) -> list[int]:
    """The node numbers of a leaf's category, gender and type."""
    found = dict.fromkeys(LEVELS, len(number))
    for path in lineage(leaf):
        level = taxonomy.by_path[path].level
        if level is not None:
            found[level] = number[path]
    return [found[level] for level in LEVELS]
