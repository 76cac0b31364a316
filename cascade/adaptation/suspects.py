"""Finds labels that are likely wrong, by what heads say that were fitted without them.

The features are frozen. Linear heads are fitted to all groups but those of one fold, and judge the
labels of that fold: a label gets little of their probability if it is wrong, whatever it was fitted
to elsewhere (Northcutt et al. 2021, *Confident Learning*, with its self-confidence and margin).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascade.adaptation.adapt import product_groups
from cascade.adaptation.crossvalidation import FOLDS, cross_validate, fold_of_each
from cascade.adaptation.features import features_of, head_weights, read_adaptable
from cascade.adaptation.linear_heads import MainDirections, fit_heads
from cascade.adaptation.refit import Labelled, Refitter
from cascade.adaptation.replay import TRAIN, FeatureSet, read_replay
from cascade.bundle import Bundle
from cascade.data.dataset import Pictures, targets
from cascade.decisions import DecisionSet
from cascade.errors import BundleError
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy


@dataclass(frozen=True)
class Suspect:
    """A label that is likely wrong.

    Attributes:
        row: The picture's position.
        confidence: The out-of-fold probability of its label, 0 to 1.
        margin: That minus the probability of the best leaf that does not fit the label, -1 to 1.
        suggested: That leaf.
    """

    row: int
    confidence: float
    margin: float
    suggested: str


def out_of_fold_logits(
    values: np.ndarray, fits: np.ndarray, groups: Sequence[str], decisions: DecisionSet
) -> np.ndarray:
    """``(N, K)`` logits of heads that were fitted without the group of each picture.

    Args:
        values: ``(N, F)`` features.
        fits: ``(N, K)`` targets, as of ``cascade.data.dataset.targets``.
        groups: The product or group of near duplicates of each.
        decisions: The decisions of the K columns.

    Raises:
        DatasetError: There are too few groups.
    """
    along = MainDirections.of(values).along(values)
    folds = fold_of_each(groups, seed=0)
    result = np.zeros((len(values), decisions.width), np.float32)
    for fold in range(FOLDS):
        out = folds == fold
        heads = fit_heads(along[~out], fits[~out], decisions)
        result[out] = along[out] @ heads
    return result


def ranked(
    routing: Routing, logits: np.ndarray, labels: Sequence[str], *, least_margin: float = 0.0
) -> list[Suspect]:
    """The labels with a margin below ``least_margin``, the smallest margin first.

    Args:
        routing: The tree and the decisions of the logits.
        logits: ``(N, K)``, of heads that did not see the labels.
        labels: Nodes of the tree, as a manifest writes them; of part of them see
            ``Taxonomy.compatible_leaves``.
        least_margin: 0 keeps those where another leaf is more probable; above 1, all are ranked.
    """
    shares = routing.leaf_probabilities(logits)
    leaves = routing.taxonomy.leaves
    place = {leaf: number for number, leaf in enumerate(leaves)}
    fitting = {
        label: [place[leaf] for leaf in routing.taxonomy.compatible_leaves(label)]
        for label in set(labels)
    }
    found = []
    for row, label in enumerate(labels):
        mine = fitting[label]
        confidence = float(shares[row, mine].sum())
        others = shares[row].copy()
        others[mine] = -1.0
        best = int(others.argmax())
        if others[best] >= 0 and confidence - others[best] < least_margin:
            margin = confidence - float(others[best])
            found.append(Suspect(row, confidence, margin, leaves[best]))
    return sorted(found, key=lambda each: (each.margin, each.row))


def suspects_of_corrections(
    bundle: Bundle, features: FeatureSet, groups: Sequence[str], *, least_margin: float = 0.0
) -> list[Suspect]:
    """The labels of people that are likely wrong, by heads that are refitted as by ``adapt``.

    The features of training that the bundle carries are replayed, so a few dozen labels suffice.

    Raises:
        BundleError: The bundle cannot be adapted.
        DatasetError: The labels are of too few products.
    """
    decisions, taxonomy = bundle.decisions, bundle.taxonomy
    replay = read_replay(bundle).of_split(TRAIN)
    divisors = [bundle.routing.temperatures.get(each.node, 1.0) for each in decisions]
    widths = [len(decision.outcomes) for decision in decisions]
    calm = head_weights(read_adaptable(bundle)) / np.repeat(divisors, widths)
    refitter = Refitter(
        calm, Labelled(replay.values, targets(replay.items, decisions, taxonomy)), decisions
    )
    given = Labelled(features.values, targets(features.items, decisions, taxonomy))
    logits = cross_validate(refitter, given, groups).after[1.0]
    labels = [item.label for item in features.items]
    return ranked(Routing(taxonomy, decisions), logits, labels, least_margin=least_margin)


def suspects_of_pictures(
    trunk: Bundle, parts: Sequence[Pictures], taxonomy: Taxonomy, form: str
) -> list[Suspect]:
    """The labels of a training set that are likely wrong; rows count through all parts.

    Args:
        trunk: A bundle whose features are used; its tree does not matter.
        parts: Pictures, decoded as the trunk's; near duplicates are found within a part.
        taxonomy: Of the labels.
        form: Of its decisions: combined or hierarchical.

    Raises:
        BundleError: The pictures have another size than those of the trunk.
        DatasetError: There are too few groups.
    """
    frame = (trunk.preprocessing.height, trunk.preprocessing.width)
    if any(part.pixels.shape[1:3] != frame for part in parts):
        raise BundleError(
            f"expected pictures of {frame[1]}x{frame[0]}, the size of the features of "
            f"{trunk.folder}: leave out --input-size"
        )
    model, decisions = read_adaptable(trunk), taxonomy.decisions(form)
    values = np.concatenate([features_of(model, part.pixels) for part in parts])
    items = tuple(item for part in parts for item in part.items)
    groups = [
        f"{number} {name}" for number, part in enumerate(parts) for name in product_groups(part)
    ]
    logits = out_of_fold_logits(values, targets(items, decisions, taxonomy), groups, decisions)
    return ranked(Routing(taxonomy, decisions), logits, [item.label for item in items])
