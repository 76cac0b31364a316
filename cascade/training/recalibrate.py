"""Calibration of a cascade: temperatures and thresholds, at its end of training or later."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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
from cascade.routing import THRESHOLDS, Routing
from cascade.training.provenance import short_figures

HEADER = ("node", "threshold", "from", "stop there", "of", "right", "95 % interval", "right / of")


def calibrate(
    routing: Routing, logits: np.ndarray, items: Sequence[Item], precision: float
) -> tuple[Routing, dict[str, NodeThreshold]]:
    """Fit temperatures, then thresholds.

    Args:
        routing: Its own temperatures and thresholds are ignored.
        logits: ``(N, K)`` logits of the cascade, of pictures it was not trained on.
        items: The labels of those pictures.
        precision: Precision that the labels stopping at each node should reach, 0 to 1.

    Returns:
        The calibrated routing, and the threshold found for each node.
    """
    bare = replace(routing, temperatures={}, thresholds={})
    fits = targets(items, bare.decisions, bare.taxonomy)
    routing = replace(bare, temperatures=fit_temperatures(logits, fits, bare.decisions))
    nodes = tune_thresholds(routing, logits, [item.label for item in items], precision)
    return replace(routing, thresholds=thresholds_of(nodes)), nodes


@dataclass(frozen=True)
class Recalibration:
    """The new bundle, and the threshold found for each node."""

    bundle: Bundle
    nodes: Mapping[str, NodeThreshold]


def recalibrate(
    folder: Path,
    pictures: Pictures,
    out_folder: Path,
    precision: float,
    decoding: str = THRESHOLDS,
) -> Recalibration:
    """Copy a bundle with temperatures and thresholds fitted to ``pictures``, without training.

    Args:
        folder: The bundle to copy.
        pictures: Pictures that the bundle was not trained on.
        out_folder: The new bundle.
        precision: Precision that the labels stopping at each node should reach, 0 to 1.
        decoding: How a label is chosen, see ``cascade.routing``.

    Raises:
        BundleError: ``out_folder`` exists.
    """
    if out_folder.exists():
        raise BundleError(f"{out_folder}: is there already; name a new folder with --out")
    cascade = Cascade.load(folder)
    logits = all_logits(cascade, pictures.pixels)
    routing, nodes = calibrate(
        replace(cascade.routing, decoding=decoding), logits, pictures.items, precision
    )
    part = out_folder.with_name(out_folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(folder, part, ignore=shutil.ignore_patterns(MANIFEST))
    write_calibration(part, routing)
    with (part / MODEL_CARD).open("a", encoding="utf-8") as card:
        card.write(_card_section(cascade.version, pictures, precision, decoding))
    training = {
        **cascade.bundle.manifest.get("training", {}),
        "precision": precision,
        "tuned_from": cascade.version,
        "tuned_on": len(pictures),
    }
    # without the old figures, which hold for the old thresholds
    figures = {"tuned_on": short_figures(evaluate(routing, logits, pictures.items))}
    seal(part, training, figures)
    part.rename(out_folder)
    return Recalibration(Bundle.open(out_folder), nodes)


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


def _card_section(version: str, pictures: Pictures, precision: float, decoding: str) -> str:
    return (
        f"\n## Tuned again\n\nFrom model {version}: temperatures and thresholds fitted to "
        f"{len(pictures)} other pictures, for {100 * precision:.3g} % precision, decoding "
        f"`{decoding}`. The figures above were measured before that.\n"
    )
