"""New thresholds for a bundle that is there already, without training it again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cascade.bundle import MANIFEST, Bundle, seal, write_calibration
from cascade.calibration import (
    NodeThreshold,
    fit_temperatures,
    thresholds_of,
    tune_thresholds,
)
from cascade.classifier import Cascade
from cascade.data.dataset import Pictures, targets
from cascade.errors import BundleError
from cascade.evaluation.evaluate import evaluate
from cascade.evaluation.metrics import Rate
from cascade.evaluation.predictions import all_logits
from cascade.evaluation.tables import rate_cells
from cascade.routing import THRESHOLDS
from cascade.training.provenance import short_figures

HEADER = ("node", "threshold", "from", "stop there", "of", "right", "95 % interval", "right / of")


@dataclass(frozen=True)
class Retuned:
    """The new bundle, and what was found for each node."""

    bundle: Bundle
    nodes: Mapping[str, NodeThreshold]


def retune(
    folder: Path,
    pictures: Pictures,
    out_folder: Path,
    precision: float,
    decoding: str = THRESHOLDS,
) -> Retuned:
    """A copy of the bundle in ``folder`` with temperatures and thresholds fitted to ``pictures``.

    They must be none that it was trained on. Raises ``BundleError`` where ``out_folder`` is taken.
    """
    if out_folder.exists():
        raise BundleError(f"{out_folder}: is there already; name a new folder with --out")
    cascade = Cascade.load(folder)
    logits = all_logits(cascade, pictures.pixels)
    bare = replace(cascade.routing, temperatures={}, thresholds={}, decoding=decoding)
    answers = targets(pictures.items, bare.decisions, bare.taxonomy)
    routing = replace(bare, temperatures=fit_temperatures(logits, answers, bare.decisions))
    nodes = tune_thresholds(routing, logits, [item.label for item in pictures.items], precision)
    routing = replace(routing, thresholds=thresholds_of(nodes))
    part = out_folder.with_name(out_folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(folder, part, ignore=shutil.ignore_patterns(MANIFEST))
    write_calibration(part, routing)
    with (part / "MODEL_CARD.md").open("a", encoding="utf-8") as card:
        card.write(_note(cascade.version, pictures, precision, decoding))
    manifest = cascade.bundle.manifest
    training = dict(manifest.get("training", {})) | {
        "precision": precision,
        "tuned_from": cascade.version,
        "tuned_on": len(pictures),
    }
    # not the old figures: they are of labels that stopped elsewhere
    figures = {"tuned_on": short_figures(evaluate(routing, logits, pictures.items))}
    seal(part, training, figures)
    part.rename(out_folder)
    return Retuned(Bundle.open(out_folder), nodes)


def retuned_rows(nodes: Mapping[str, NodeThreshold]) -> list[list[str]]:
    """Rows under ``HEADER``: each node's threshold and the coverage that it costs."""
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


def _note(version: str, pictures: Pictures, precision: float, decoding: str) -> str:
    return (
        f"\n## Tuned again\n\nFrom model {version}: temperatures and thresholds fitted to "
        f"{len(pictures)} other pictures, for {100 * precision:.3g} % precision, decoding "
        f"`{decoding}`. The figures above were measured before that.\n"
    )
