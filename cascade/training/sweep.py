"""Hyperparameter sweep for one decision: grid or random search, ranked on validation."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.bundle import write_json
from cascade.data.dataset import Item, Pictures, decode_items
from cascade.decisions import Decision
from cascade.errors import DatasetError
from cascade.evaluation.metrics import wilson_interval
from cascade.networks.architectures import Architecture
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from cascade.training.augmentation import NO_AUGMENTATION, Augmentation
from cascade.training.provenance import check_same_run, data_record
from cascade.training.settings import TrainingSettings, settings_for
from rendering.output import open_output
from rendering.text import markdown_table

log = logging.getLogger(__name__)

# the original's grid: 12 trials
ORIGINAL_GRID: dict[str, list[Any]] = {
    "filter_size": [3, 5, 7],
    "filters_number": [32, 64, 96, 128],
}
OPTIONS = {  # parameter of a sweep -> key in Architecture.options
    "filter_size": "kernel",
    "filters_number": "filters",
    "second_filters": "second_filters",
    "dense": "dense",
    "dropout": "dropout",
    "l2": "l2",
    "frozen_blocks": "frozen_blocks",
    "blocks": "blocks",
}
SETTINGS = ("learning_rate", "batch_size", "balance", "label_smoothing")
AUGMENTATIONS = {"none": NO_AUGMENTATION, "full": Augmentation()}
PARAMETERS = (*OPTIONS, *SETTINGS, "augmentation", "input_size")


@dataclass(frozen=True)
class SweepPlan:
    """The search: values for each parameter, for one decision, with one architecture.

    ``trials`` is the number of random trials from the grid; None runs the full grid.
    """

    decision: Decision
    taxonomy: Taxonomy
    space: Mapping[str, Sequence[Any]] = field(default_factory=lambda: ORIGINAL_GRID)
    architecture: str = "two_convolutions"
    epochs: int = 10
    seed: int = 2026
    trials: int | None = None


@dataclass(frozen=True)
class TrialResult:
    """A finished trial: its values, and its metrics on validation."""

    name: str
    values: Mapping[str, Any]
    accuracy: float
    loss: float
    pictures: int
    weights: int
    epochs: int
    seconds: float


def parse_space(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Parse ``["filter_size=3,5", "dense=512,none"]`` to values by parameter.

    Several dense layers are written ``512x256``, an input size ``90x120``. Raises ``ValueError``.
    """
    space: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or name not in PARAMETERS or not values:
            raise ValueError(
                f"expected NAME=VALUE,VALUE with one of the names {', '.join(PARAMETERS)}; "
                f"received {text!r}"
            )
        space[name] = [_value(name, value.strip()) for value in values.split(",")]
    return space


def _value(name: str, text: str) -> Any:
    if name in ("dense", "augmentation", "input_size"):
        if name == "augmentation" and text not in AUGMENTATIONS:
            raise ValueError(
                f"augmentation: expected {' or '.join(AUGMENTATIONS)}, received {text!r}"
            )
        if name != "augmentation" and text != "none":
            [int(part) for part in text.split("x")]  # raises ValueError, which shows the text
        return text
    number = float(text)
    return int(number) if number.is_integer() and "." not in text else number


def trials_of(plan: SweepPlan) -> list[dict[str, Any]]:
    """The values of each trial, in an order that depends only on the plan."""
    names = list(plan.space)
    grid = [
        dict(zip(names, values, strict=True)) for values in itertools.product(*plan.space.values())
    ]
    if plan.trials is None or plan.trials >= len(grid):
        return grid
    random = np.random.default_rng(plan.seed)
    return [grid[n] for n in sorted(random.choice(len(grid), plan.trials, replace=False))]


def trial_name(values: Mapping[str, Any]) -> str:
    """The trial's folder name: its values, or their hash where that is too long."""
    name = ",".join(f"{key}={value}" for key, value in values.items()).replace("/", "_")
    return name if len(name) < 150 else hashlib.sha256(name.encode()).hexdigest()[:24]


def trial_settings(plan: SweepPlan, values: Mapping[str, Any]) -> TrainingSettings:
    """The training settings of a trial."""
    options = {
        OPTIONS[name]: _layers(value) if name == "dense" else value
        for name, value in values.items()
        if name in OPTIONS
    }
    changes: dict[str, Any] = {name: values[name] for name in SETTINGS if name in values}
    if "augmentation" in values:
        changes["augmentation"] = AUGMENTATIONS[values["augmentation"]]
    return replace(
        settings_for(plan.architecture),
        architecture=Architecture(plan.architecture, options),
        epochs=plan.epochs,
        seed=plan.seed,
        **changes,
    )


def _layers(text: str) -> list[int]:
    return [] if text == "none" else [int(part) for part in text.split("x")]


class PicturesBySize:
    """Training and validation pictures at each input size of a sweep, decoded once a size."""

    def __init__(self, train: Pictures, validation: Pictures, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self.decoded = {(preprocessing.width, preprocessing.height): (train, validation)}

    def at(self, size: str | None) -> tuple[Pictures, Pictures]:
        """Training and validation pictures at ``WIDTHxHEIGHT``; None for the original size."""
        originals = next(iter(self.decoded.values()))
        if size is None:
            return originals
        width, height = (int(part) for part in size.split("x"))
        if (width, height) not in self.decoded:
            preprocessing = replace(self.preprocessing, width=width, height=height)
            train, validation = (_decode(each.items, preprocessing) for each in originals)
            self.decoded[width, height] = (train, validation)
        return self.decoded[width, height]


def _decode(items: Sequence[Item], preprocessing: Preprocessing) -> Pictures:
    pictures = decode_items(items, preprocessing)
    if len(pictures) != len(items):
        raise DatasetError(
            f"input_size: expected pictures in files, to decode them at {preprocessing.width}x"
            f"{preprocessing.height}; use a folder or a manifest, or leave input_size out"
        )
    return pictures


def run_sweep(plan: SweepPlan, pictures: PicturesBySize, folder: Path) -> list[TrialResult]:
    """Run every unfinished trial, with TensorBoard logs below ``folder``.

    A stopped sweep resumes: finished trials are read from their ``result.json``, the interrupted
    one continues after its last epoch.

    Returns:
        The results, best first.

    Raises:
        DatasetError: ``folder`` holds another sweep, or one of other pictures.
    """
    from cascade.training.sweep_trial import run_trial
    from cascade.training.tensorboard import write_experiment

    trials = trials_of(plan)
    _check_folder(plan, pictures, folder)
    write_experiment(folder, plan.space)
    results, started = [], time.monotonic()
    for number, values in enumerate(trials):
        name = trial_name(values)
        done = folder / name / "result.json"
        if not done.is_file():
            log.info("trial %d of %d: %s", number + 1, len(trials), name)
            result = run_trial(plan, values, pictures.at(values.get("input_size")), folder / name)
            write_json(done, result.__dict__ | {"values": dict(values)})
            minutes = (time.monotonic() - started) / (number + 1) * (len(trials) - number - 1) / 60
            log.info("accuracy %.4f; %.1f minutes left", result.accuracy, minutes)
        results.append(TrialResult(**json.loads(done.read_text(encoding="utf-8"))))
    ranked = sorted(results, key=lambda result: (-result.accuracy, result.loss))
    with open_output(folder / "ranking.md") as file:
        file.write(ranking(ranked).encode())
    return ranked


def _check_folder(plan: SweepPlan, pictures: PicturesBySize, folder: Path) -> None:
    record = data_record(*pictures.at(None), plan.taxonomy, pictures.preprocessing) | {
        "node": plan.decision.node,
        "outcomes": list(plan.decision.outcomes),
        "space": {name: list(values) for name, values in plan.space.items()},
        "architecture": plan.architecture,
        "epochs": plan.epochs,
        "seed": plan.seed,
        "trials": plan.trials,
    }
    check_same_run(folder / "sweep.json", record, "--out")


def recommended(ranked: Sequence[TrialResult]) -> TrialResult:
    """The smallest network whose accuracy is inside the 95 % interval of the best one."""
    best = ranked[0]
    least = wilson_interval(round(best.accuracy * best.pictures), best.pictures)[0]
    return min(
        (result for result in ranked if result.accuracy >= least),
        key=lambda result: (result.weights, -result.accuracy),
    )


def ranking(ranked: Sequence[TrialResult]) -> str:
    """Markdown: a table of the trials, best first, and the recommended one."""
    names = list(ranked[0].values)
    rows = []
    for place, result in enumerate(ranked, 1):
        low, high = wilson_interval(round(result.accuracy * result.pictures), result.pictures)
        rows.append(
            [
                str(place),
                *(str(result.values[name]) for name in names),
                f"{100 * result.accuracy:.2f} %",
                f"{100 * low:.1f}–{100 * high:.1f}",
                f"{result.loss:.4f}",
                f"{result.weights:,}",
                str(result.epochs),
                f"{result.seconds:.0f}",
            ]
        )
    header = ["", *names, "validation accuracy", "95 % interval", "loss", "weights", "epochs", "s"]
    take = recommended(ranked)
    values = ", ".join(f"{name} {value}" for name, value in take.values.items())
    return (
        f"{markdown_table(header, rows)}\n\nTake {values}: the fewest weights among the trials "
        f"that {ranked[0].pictures} validation pictures cannot tell from the best.\n"
    )
