"""Turns logits into labels: probabilities of all nodes, and the node where a label stops.

The probability of a leaf is the product of the decisions on the way down to it. The probability of
a node is the sum over the leaves below it. Each row is computed independently, so a label never
depends on the other pictures of its batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cascade.decisions import DecisionSet
from cascade.familiarity import Familiarity
from cascade.taxonomy import LEVELS, Taxonomy, lineage

THRESHOLDS = "thresholds"
TREE_DISTANCE = "tree_distance"
DECODINGS = (THRESHOLDS, TREE_DISTANCE)
MOST_LEAVES = 20  # of a prediction
LEAST_PROBABILITY = 0.001  # of a leaf of a prediction


@dataclass(frozen=True)
class Prediction:
    """The labels of one picture. Confidences are probabilities, 0 to 1.

    Attributes:
        label: The predicted node. It is an inner node where no leaf is confident enough.
        best_leaf: The most probable leaf of the predicted category, whatever the thresholds.
        category: The label's category; likewise ``gender`` and ``type``, None where it has none.
        category_confidence: The probability of ``best_leaf``'s category; likewise
            ``gender_confidence`` and ``type_confidence``, None where the leaf has no such level.
        confidence: The probability of ``label``.
        margin: The probability of ``best_leaf`` minus that of the best other leaf in the category
            or of the next category, whichever is larger; at least 0.
        needs_review: The label is not a leaf, its confidence is below its threshold, or the picture
            is not familiar.
        best_leaf_confidence: The probability of ``best_leaf``.
        second_leaf: The most probable other leaf, of any category. It is more probable than
            ``best_leaf`` where that one's category spreads its probability over many leaves. None:
            there is no other leaf.
        second_leaf_confidence: The probability of ``second_leaf``.
        leaf_probabilities: By leaf, best first, rounded to three digits: at most ``MOST_LEAVES``,
            and none below ``LEAST_PROBABILITY``.
        vector: The bytes of the picture's int8 vector (``cascade.projection``), if asked for.
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
    best_leaf_confidence: float
    second_leaf: str | None
    second_leaf_confidence: float | None
    leaf_probabilities: Mapping[str, float]
    vector: bytes | None = None


@dataclass(frozen=True)
class Routing:
    """The mapping from logits to labels: the tree, its decisions and the calibration.

    Attributes:
        taxonomy: The tree of labels.
        decisions: The decisions whose logits are the K columns; the primary one first.
        temperatures: By a decision's node; its logits are divided by it. Default 1.
        thresholds: By path; the least probability at which the node may be a label. Default 0.
        decoding: ``thresholds`` takes the deepest node that reaches its threshold.
            ``tree_distance`` takes the node with the least expected distance from the truth.
        familiarity: Pictures that it does not find familiar need a review, however sure the
            cascade is. None finds all familiar.
    """

    taxonomy: Taxonomy
    decisions: DecisionSet
    temperatures: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    decoding: str = THRESHOLDS
    familiarity: Familiarity | None = None

    def __post_init__(self) -> None:
        if self.decoding not in DECODINGS:
            raise ValueError(
                f"decoding: expected one of {', '.join(DECODINGS)}, received {self.decoding!r}"
            )

    def outcome_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """``(N, K)`` logits to ``(N, K)`` float64 probabilities that sum to 1 in each decision."""
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
        ranked = np.argsort(-leaves, axis=1, kind="stable")[:, :MOST_LEAVES]
        inside[rows, best] = primary[rows, category] = -1.0  # the others are the rivals
        rivals = np.maximum(inside.max(axis=1), primary.max(axis=1)).clip(min=0.0)
        label, sure = self._stopping_nodes(category, nodes)
        if self.familiarity is not None:
            sure &= self.familiarity.familiar(logits, best)
        margin = (leaves[rows, best] - rivals).clip(0.0, 1.0)
        # rounding may leave 0 to 1 slightly
        leaves = leaves.clip(0.0, 1.0)
        # the extra last column means "no such level"
        nodes = np.column_stack([nodes.clip(0.0, 1.0), np.full(len(rows), np.nan)])
        levels = np.take_along_axis(nodes, arrays.levels_of_leaf[best], axis=1)
        columns = (label, best, levels, nodes[rows, label], margin, sure, leaves[rows, best])
        shares = (ranked, np.take_along_axis(leaves, ranked, axis=1))
        return [
            arrays.prediction(
                node,
                leaf,
                values,
                list(zip(others, theirs, strict=True)),
                confidence=p,
                margin=lead,
                sure=passes,
                best_confidence=own,
            )
            for node, leaf, values, p, lead, passes, own, others, theirs in zip(
                *(column.tolist() for column in (*columns, *shares)), strict=True
            )
        ]

    def _stopping_nodes(
        self, category: np.ndarray, nodes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose each label: ``(N,)`` node numbers, and whether each reaches its threshold.

        Args:
            category: ``(N,)`` outcome number of the primary decision.
            nodes: ``(N, nodes)`` probabilities.
        """
        stop = self._nearest if self.decoding == TREE_DISTANCE else self._deepest
        label = np.empty(len(category), np.int64)
        sure = np.empty(len(category), bool)
        for number in np.unique(category):
            rows = np.flatnonzero(category == number)
            label[rows], sure[rows] = stop(int(number), nodes[rows])
        return label, sure

    def _deepest(self, category: int, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The deepest node of the category that reaches its threshold; else the category itself."""
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
        """The node of the category with the least expected number of edges to the true leaf.

        The cost is relative to the category. A step down to a node saves an edge if the truth is
        below the node, and adds one if it is not. So the label goes down as long as the probability
        of the next node is above one half.
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
    """Row-wise softmax of ``(N, k)``. Subtracting the maximum prevents overflow."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


@dataclass(frozen=True)
class _TreeArrays:
    """The structure of the tree as arrays, computed once for a routing.

    Nodes and leaves are numbered in the order of the taxonomy, categories in the order of the
    primary decision's outcomes.
    """

    paths: tuple[str, ...]
    leaf_paths: tuple[str, ...]
    leaf_nodes: frozenset[int]  # the leaves, as node numbers
    levels: tuple[dict[str, str | None], ...]  # a node's columns in the catalogue
    masks: dict[str, np.ndarray]  # by path, (leaves,) bool: which leaves are below it
    leaves_below: tuple[tuple[int, ...], ...]
    leaves_of_category: np.ndarray  # (categories, leaves) bool
    category_nodes: tuple[int, ...]
    by_depth: tuple[tuple[np.ndarray, ...], ...]  # a category's nodes, the deepest level first
    lineage: tuple[tuple[int, ...], ...]  # a node and those above it
    levels_of_leaf: np.ndarray  # (leaves, 3): the leaf's node at each level; number of nodes = none
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
        """``(N, leaves)`` to ``(N, nodes)``. Summed leaf by leaf: the same result in any batch."""
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
        ranked: list[tuple[int, float]],
        *,
        confidence: float,
        margin: float,
        sure: bool,
        best_confidence: float,
    ) -> Prediction:
        """One row, with numbers replaced by paths. In ``levels``, NaN means no such level.

        ``ranked`` has the most probable leaves with their probabilities, best first.
        """
        names = self.levels[label]
        category, gender, type_ = (None if math.isnan(level) else level for level in levels)
        second, its_confidence = next((pair for pair in ranked if pair[0] != best), (None, None))
        return Prediction(
            label=self.paths[label],
            best_leaf=self.leaf_paths[best],
            category=names["category"],
            gender=names["gender"],
            type=names["type"],
            category_confidence=category,
            gender_confidence=gender,
            type_confidence=type_,
            confidence=confidence,
            margin=margin,
            needs_review=not sure or label not in self.leaf_nodes,
            best_leaf_confidence=best_confidence,
            second_leaf=None if second is None else self.leaf_paths[second],
            second_leaf_confidence=its_confidence,
            leaf_probabilities={
                self.leaf_paths[leaf]: round(share, 3)
                for leaf, share in ranked
                if share >= LEAST_PROBABILITY
            },
        )


def _levels(taxonomy: Taxonomy, leaf: str, number: Mapping[str, int]) -> list[int]:
    """The node numbers of a leaf's category, gender and type."""
    found = dict.fromkeys(LEVELS, len(number))
    for path in lineage(leaf):
        level = taxonomy.by_path[path].level
        if level is not None:
            found[level] = number[path]
    return [found[level] for level in LEVELS]
