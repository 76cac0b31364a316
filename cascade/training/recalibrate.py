"""Calibration of a cascade: temperatures and thresholds, at its end of training or later."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.bundle import MANIFEST, MODEL_CARD, Bundle, seal, write_calibration
from cascade.calibration import NodeThreshold, fit_temperatures, thresholds_of, tune_thresholds
from cascade.classifier import Cascade
from cascade.data.dataset import Item, Pictures, targets
from cascade.errors import BundleError
from cascade.evaluation.evaluate import evaluate
from cascade.evaluation.metrics import Rate
from cascade.evaluation.predictions import all_logits
from cascade.evaluation.tables import rate_cells
from cascade.familiarity import fit_familiarity
from cascade.guarantee import Guarantee, guaranteed, halves
from cascade.routing import THRESHOLDS, Routing
from cascade.training.provenance import short_figures

SPLIT_SEED = 2026  # of the halves of a guarantee
HEADER = ("node", "threshold", "from", "stop there", "of", "right", "95 % interval", "right / of")


def calibrate(
    routing: Routing, logits: np.ndarray, items: Sequence[Item], precision: float
) -> tuple[Routing, dict[str, NodeThreshold]]:
    """Fit temperatures, then thresholds.

    Args:
        routing: Its own temperatures, thresholds and familiarity are ignored.
        logits: ``(N, K)`` logits of the cascade, of pictures it was not trained on.
        items: The labels of those pictures.
        precision: Precision that the labels stopping at each node should reach, 0 to 1.

    Returns:
        The calibrated routing, and the threshold found for each node.
    """
    bare = replace(routing, temperatures={}, thresholds={}, familiarity=None)
    fits = targets(items, bare.decisions, bare.taxonomy)
    routing = replace(bare, temperatures=fit_temperatures(logits, fits, bare.decisions))
    nodes = tune_thresholds(routing, logits, [item.label for item in items], precision)
    return replace(routing, thresholds=thresholds_of(nodes)), nodes


@dataclass(frozen=True)
class Recalibration:
    """The new bundle, the threshold found for each node, and what is guaranteed, if asked."""

    bundle: Bundle
    nodes: Mapping[str, NodeThreshold]
    guarantee: Guarantee | None = None


def recalibrate(
    folder: Path,
    pictures: Pictures,
    out_folder: Path,
    precision: float,
    decoding: str = THRESHOLDS,
    *,
    familiar: float | None = None,
    guarantee: float | None = None,
) -> Recalibration:
    """Copy a bundle with temperatures and thresholds fitted to ``pictures``, without training.

    Args:
        folder: The bundle to copy.
        pictures: Pictures that the bundle was not trained on.
        out_folder: The new bundle.
        precision: Precision that the labels stopping at each node should reach, 0 to 1.
        decoding: How a label is chosen, see ``cascade.routing``.
        familiar: The share of ``pictures`` that is to be familiar (``cascade.familiarity``); all
            are if None.
        guarantee: The confidence at which the sure labels must reach ``precision``
            (``cascade.guarantee``); thresholds aim at it by decision 0030 if None.

    Raises:
        BundleError: ``out_folder`` exists, or with ``familiar`` the decisions do not share one
            network.
        DatasetError: With ``familiar`` or ``guarantee``, there are too few pictures.
    """
    check_new(out_folder)
    cascade = Cascade.load(folder)
    if familiar is not None:
        check_shared_network(cascade.bundle)
    logits = all_logits(cascade, pictures.pixels)
    base, items, kept = replace(cascade.routing, decoding=decoding), pictures.items, None
    if guarantee is None:
        routing, nodes = calibrate(base, logits, items, precision)
        routing = with_familiarity(routing, logits, familiar)
    else:
        labels = [item.label for item in items]
        learn, test = halves(labels, [item.group for item in items], SPLIT_SEED)
        routing, nodes = calibrate(base, logits[learn], [items[row] for row in learn], precision)
        kept = guaranteed(
            routing,
            (logits[learn], [labels[row] for row in learn]),
            (logits[test], [labels[row] for row in test]),
            precision,
            guarantee,
        )
        routing = replace(routing, thresholds=kept.thresholds)
    card = (folder / MODEL_CARD).read_text(encoding="utf-8") + _card_section(
        cascade.version, pictures, precision, decoding, familiar=familiar, kept=kept
    )
    figures = {"tuned_on": short_figures(evaluate(routing, logits, pictures.items))}
    facts: dict[str, Any] = {"precision": precision, "tuned_on": len(pictures)}
    if kept is not None:
        facts["guarantee"] = {**asdict(kept), "thresholds": None}
    bundle = write_recalibrated(
        cascade.bundle, routing, out_folder, card=card, facts=facts, figures=figures
    )
    return Recalibration(bundle, nodes, kept)


def with_familiarity(routing: Routing, logits: np.ndarray, share: float | None) -> Routing:
    """The routing with familiarity fitted to ``(N, K)`` logits; without if ``share`` is None.

    Raises ``DatasetError`` for too few pictures.
    """
    routing = replace(routing, familiarity=None)
    if share is None:
        return routing
    leaves = routing.taxonomy.leaves
    number = {leaf: place for place, leaf in enumerate(leaves)}
    best = np.array([number[each.best_leaf] for each in routing.label(logits)], int)
    return replace(routing, familiarity=fit_familiarity(logits, best, len(leaves), share))


def check_shared_network(bundle: Bundle) -> None:
    """Raise ``BundleError`` if pictures do not get the logits of all decisions."""
    if len(bundle.decisions_of_network) > 1:
        raise BundleError(
            f"{bundle.folder}: expected one network for all decisions; with several, a picture "
            "does not get the logits of all, which tell whether it is familiar"
        )


def check_new(out_folder: Path) -> None:
    """Raise ``BundleError`` if ``out_folder`` exists."""
    if out_folder.exists():
        raise BundleError(f"{out_folder}: is there already; name a new folder with --out")


def write_recalibrated(
    bundle: Bundle,
    routing: Routing,
    out_folder: Path,
    *,
    card: str,
    facts: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> Bundle:
    """Write a copy of a bundle with another calibration, in one step.

    Args:
        bundle: The bundle to copy.
        routing: Temperatures, thresholds and decoding of the copy.
        out_folder: The new folder.
        card: The whole model card.
        facts: Added to the manifest's entry ``training``, beside the version of ``bundle``.
        figures: Replace the old ones, which hold for the old thresholds.
    """
    part = out_folder.with_name(out_folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(bundle.folder, part, ignore=shutil.ignore_patterns(MANIFEST))
    write_calibration(part, routing)
    (part / MODEL_CARD).write_text(card, encoding="utf-8")
    training = bundle.manifest.get("training", {})
    seal(part, {**training, **facts, "tuned_from": bundle.version}, figures)
    part.rename(out_folder)
    return Bundle.open(out_folder)


def write_certified(
    bundle: Bundle,
    threshold: float,
    out_folder: Path,
    *,
    audit: Mapping[str, Any],
    sentence: str,
) -> Bundle:
    """Raise the thresholds of all leaves to what was certified, in a new bundle.

    Labels that drop out stop at a node above and need a review. No other label gets sure.

    Args:
        bundle: The audited bundle, which stays as it is.
        threshold: The least certified probability, 0 to 1.
        out_folder: The new bundle.
        audit: What the manifest records about the audit.
        sentence: The certificate in words, for the model card.

    Raises:
        BundleError: ``out_folder`` exists, or a higher threshold could make another leaf sure.
    """
    check_new(out_folder)
    routing = with_least(bundle.routing, threshold)
    card = (bundle.folder / MODEL_CARD).read_text(encoding="utf-8")
    card += (
        f"\n## Certified\n\nFrom model {bundle.version}, with a threshold of {threshold:g} or more "
        f"at each leaf, by an audit of crawl {audit['crawl']}. {sentence} This holds for that "
        "crawl. The figures above were measured with the thresholds of before.\n"
    )
    return write_recalibrated(
        bundle,
        routing,
        out_folder,
        card=card,
        facts={"audit": dict(audit)},
        figures={"audit": dict(audit)},
    )


def with_least(routing: Routing, threshold: float) -> Routing:
    """The routing with thresholds of at least ``threshold`` at all leaves.

    Raises:
        BundleError: a category has leaves at several depths. Where one of them is no longer sure,
            another one could be, which nobody audited.
    """
    taxonomy = routing.taxonomy
    for top in routing.decisions[0].outcomes:
        depths = {leaf.count("/") for leaf in taxonomy.leaves_below(top)}
        if len(depths) > 1 and routing.decoding == THRESHOLDS:
            raise BundleError(
                f"expected all leaves of {top} at one depth, received leaves at {len(depths)}: "
                "another leaf could get sure that nobody audited; leave --apply out, and take "
                f"labels with a confidence of {threshold:g} or more"
            )
    raised = {leaf: max(routing.thresholds.get(leaf, 0.0), threshold) for leaf in taxonomy.leaves}
    return replace(routing, thresholds={**routing.thresholds, **raised})


def threshold_rows(nodes: Mapping[str, NodeThreshold]) -> list[list[str]]:
    """Table rows under ``HEADER``: each node's threshold and the coverage that it costs."""
    return [
        [
            entry.node,
            f"{entry.threshold:.4f}",
            entry.how,
            str(entry.answers),
            str(entry.candidates),
            *rate_cells(Rate(entry.right, entry.judged)),
        ]
        for entry in nodes.values()
        if entry.candidates
    ]


def _card_section(
    version: str,
    pictures: Pictures,
    precision: float,
    decoding: str,
    *,
    familiar: float | None,
    kept: Guarantee | None,
) -> str:
    rule = ""
    if kept is not None:
        rule = (
            f" Guaranteed with {100 * kept.confidence:g} % confidence for the sure labels of such "
            f"pictures, by {kept.sure} of them, {kept.right} right; aimed at elsewhere."
        )
    if familiar is not None:
        rule = (
            f" {100 * familiar:.3g} % of the pictures are familiar by their logits; the others "
            "need a review, however sure the cascade is."
        )
    return (
        f"\n## Tuned again\n\nFrom model {version}: temperatures and thresholds fitted to "
        f"{len(pictures)} other pictures, for {100 * precision:.3g} % precision, decoding "
        f"`{decoding}`.{rule} The figures above were measured before that.\n"
    )
