"""Building a cascade: train every network, calibrate, evaluate, and seal the bundle."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras

from cascade.adaptation.head_only import train_heads
from cascade.adaptation.replay import add_replay
from cascade.backends.tensorflow import keras_runner
from cascade.bundle import Bundle, BundleParts, seal, write_parts
from cascade.classifier import Cascade
from cascade.data.dataset import Pictures
from cascade.decisions import DecisionSet
from cascade.errors import BundleError
from cascade.evaluation.evaluate import evaluate
from cascade.evaluation.model_card import model_card
from cascade.evaluation.predictions import all_logits
from cascade.networks.architectures import build, networks_of
from cascade.networks.serialisation import read_network, write_network
from cascade.networks.start import StartWeights, start_weights
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from cascade.training.batches import Teacher, sampling_weights
from cascade.training.checkpoint import training_totals
from cascade.training.logit_adjustment import adjust_logits
from cascade.training.model_soup import check_runs, train_averaged
from cascade.training.provenance import (
    check_same_run,
    data_record,
    short_figures,
    training_record,
)
from cascade.training.recalibrate import calibrate
from cascade.training.settings import TrainingSettings
from cascade.training.task import TrainingTask

log = logging.getLogger(__name__)

FINAL_WEIGHTS = "final.weights.h5"
PRECISION = 0.98


@dataclass(frozen=True)
class TrainingData:
    """Everything a cascade is built from: pictures by split, the tree, the preprocessing.

    ``test`` is evaluated for the model card and influences nothing else. ``terms`` is the model
    card's text about the right to use the pictures. ``teacher`` gives soft labels to a network that
    all decisions share (``cascade.training.distillation``), ``start`` the weights it starts from
    (``cascade.networks.start``).
    """

    train: Pictures
    validation: Pictures
    taxonomy: Taxonomy
    test: Pictures | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    terms: str = ""
    teacher: Teacher | None = None
    start: StartWeights | None = None

    def task(self, decisions: DecisionSet) -> TrainingTask:
        """The pictures that matter for one network."""
        return TrainingTask(
            self.train, self.validation, decisions, self.taxonomy, self.teacher, self.start
        ).relevant()


def with_start(
    data: TrainingData, settings: TrainingSettings, folder: Path
) -> tuple[TrainingData, TrainingSettings]:
    """Training data and settings that start from the bundle in ``folder``.

    Raises:
        BundleError: The folder is no bundle, it has several networks, or other decisions.
        ValueError: The network is not the pretrained trunk.
    """
    if not settings.architecture.shared:
        raise ValueError("--start-from: expected an experiment with one network for all decisions")
    bundle = Bundle.open(folder)
    wanted = data.taxonomy.decisions(settings.form)
    if tuple(bundle.decisions) != tuple(wanted) or len(bundle.decisions_of_network) != 1:
        raise BundleError(
            f"{folder}: expected a bundle with one network and the decisions of this training; "
            "take one of the same tree and --form"
        )
    weights = start_weights(read_network(folder, 0))
    return replace(data, start=weights), replace(settings, start_from=bundle.version)


def build_cascade(
    data: TrainingData,
    settings: TrainingSettings,
    out_folder: Path,
    work_folder: Path,
    precision: float = PRECISION,
) -> Bundle:
    """Train every network of the architecture and write the bundle to ``out_folder``.

    Progress is stored in ``work_folder``; a stopped run resumes from there.

    Raises:
        DatasetError: An outcome has no training picture, or ``work_folder`` belongs to a run with
            other settings, pictures or labels.
        BundleError: ``out_folder`` is not empty.
        ValueError: The runs cannot be averaged, see ``check_runs``; or ``head_only`` is asked of a
            network without a trunk.
    """
    _check_free(out_folder)
    check_runs(settings)
    if settings.head_only:
        return _build_head_only(data, settings, out_folder, precision)
    _check_work_folder(data, settings, work_folder)
    networks = networks_of(settings.architecture, data.taxonomy.decisions(settings.form))
    for decisions in networks:  # before hours of training, not after
        data.task(decisions).check_outcomes()
    started = time.monotonic()
    models, epochs, seconds = [], 0, 0.0
    for number, decisions in enumerate(networks):
        names = ", ".join(decision.node or "primary" for decision in decisions)
        log.info("network %d of %d: %s", number + 1, len(networks), names)
        left = replace(settings, limit_minutes=_time_left(settings, started))
        folder = work_folder / str(number)
        models.append(_train_or_load(data.task(decisions), left, folder))
        network_epochs, network_seconds = training_totals(folder)
        epochs, seconds = epochs + network_epochs, seconds + network_seconds
    facts = {"minutes": round(seconds / 60, 1), "epochs_done": epochs}
    return _finish(data, settings, models, out_folder, facts, precision=precision)


def _build_head_only(
    data: TrainingData, settings: TrainingSettings, out_folder: Path, precision: float
) -> Bundle:
    """Fit heads to the features of a frozen trunk. It takes no epochs and keeps no state."""
    if not settings.architecture.shared:
        raise ValueError(
            f"head_only: expected a pretrained trunk, received {settings.architecture.name}; use "
            "the experiment trunk"
        )
    task, started = data.task(data.taxonomy.decisions(settings.form)), time.monotonic()
    task.check_outcomes()
    found = train_heads(
        task.train,
        task.validation,
        task.targets,
        sampling_weights(task.train.items, settings.balance),
        task.decisions,
        architecture=settings.architecture,
        seed=settings.seed,
    )
    minutes = round((time.monotonic() - started) / 60, 1)
    facts = {"minutes": minutes, "epochs_done": 0, "trunk": found.trunk}
    return _finish(data, settings, [found.model], out_folder, facts, precision=precision)


def _finish(
    data: TrainingData,
    settings: TrainingSettings,
    models: Sequence[keras.Model],
    out_folder: Path,
    facts: Mapping[str, Any],
    *,
    precision: float,
) -> Bundle:
    """Calibrate on validation, evaluate, write the model card and seal the bundle.

    The evaluated networks are the shipped ones: weights as stored (float16), read back, run as in
    a worker.
    """
    decisions = data.taxonomy.decisions(settings.form)
    networks = networks_of(settings.architecture, decisions)
    part = out_folder.with_name(out_folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    runners = []
    strengths: dict[str, float] = {}
    for number, model in enumerate(models):
        strengths |= adjust_logits(model, data.task(networks[number]), settings.balance)
        write_network(part, number, model)
        runners.append(keras_runner(read_network(part, number)))
    network_of = [
        next(number for number, group in enumerate(networks) if decision in group)
        for decision in decisions
    ]
    bare = BundleParts(data.taxonomy, data.preprocessing, settings.form, decisions, network_of)
    write_parts(part, bare)
    cascade = Cascade(seal(part, {}, {}), runners)
    logits = all_logits(cascade, data.validation.pixels)
    routing, _ = calibrate(cascade.routing, logits, data.validation.items, precision)
    figures = {"validation": evaluate(routing, logits, data.validation.items)}
    if data.test is not None and len(data.test):
        test_logits = all_logits(cascade, data.test.pixels)
        figures["test"] = evaluate(routing, test_logits, data.test.items)
    facts = {**facts, "prior_strengths": strengths}
    training = training_record(data.train, settings, facts, len(models), precision)
    parts = replace(
        bare,
        temperatures=routing.temperatures,
        thresholds=routing.thresholds,
        model_card=model_card(training, data.train.items, figures, data.terms),
    )
    write_parts(part, parts)
    seal(part, training, {split: short_figures(each) for split, each in figures.items()})
    add_replay(part, data.train, data.validation)
    out_folder.parent.mkdir(parents=True, exist_ok=True)
    if out_folder.is_dir():
        out_folder.rmdir()  # empty, see _check_free
    part.rename(out_folder)
    return Bundle.open(out_folder)


def _train_or_load(task: TrainingTask, settings: TrainingSettings, folder: Path) -> keras.Model:
    """One network: trained now, or loaded if an earlier run finished it."""
    final = folder / FINAL_WEIGHTS
    if final.is_file():
        height, width = task.train.pixels.shape[1:3]
        model = build(settings.architecture, task.decisions, height, width, settings.seed)
        model.load_weights(final)
        return model
    model, _ = train_averaged(task, settings, folder=folder)
    unfinished = folder / f"part-{FINAL_WEIGHTS}"
    model.save_weights(unfinished)
    unfinished.rename(final)
    return model


def _check_free(out_folder: Path) -> None:
    if out_folder.exists() and (not out_folder.is_dir() or any(out_folder.iterdir())):
        raise BundleError(
            f"{out_folder}: is there already; name a new folder with --out, or move it"
        )


def _check_work_folder(data: TrainingData, settings: TrainingSettings, work_folder: Path) -> None:
    """Refuse to resume the networks of another run."""
    record = data_record(data.train, data.validation, data.taxonomy, data.preprocessing)
    record["settings"] = settings.to_json() | {"limit_minutes": None}
    check_same_run(work_folder / "run.json", record, "--work")


def _time_left(settings: TrainingSettings, started: float) -> float | None:
    if settings.limit_minutes is None:
        return None
    return max(0.0, settings.limit_minutes - (time.monotonic() - started) / 60)
