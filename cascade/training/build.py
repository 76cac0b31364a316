"""Building a cascade: every network trained, calibrated, judged, and sealed into a bundle."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cascade.backends.tensorflow import keras_runner
from cascade.bundle import Bundle, BundleParts, seal, write_json, write_parts
from cascade.calibration import fit_temperatures, thresholds_of, tune_thresholds
from cascade.classifier import Cascade
from cascade.data.dataset import Pictures, fingerprint, targets
from cascade.decisions import DecisionSet
from cascade.errors import BundleError, DatasetError
from cascade.evaluation.evaluate import evaluate
from cascade.evaluation.model_card import model_card
from cascade.evaluation.predictions import all_logits
from cascade.networks.architectures import build, networks_of
from cascade.networks.serialisation import read_network, write_network
from cascade.pictures.decode import Preprocessing
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy
from cascade.training.batches import Teach
from cascade.training.logit_adjustment import expect_true_shares
from cascade.training.model_soup import check_runs, train_averaged
from cascade.training.provenance import short_figures, training_record
from cascade.training.settings import TrainingSettings

log = logging.getLogger(__name__)

FINAL_WEIGHTS = "final.weights.h5"
LATEST_WEIGHTS = "latest.weights.h5"
PRECISION = 0.98


@dataclass(frozen=True)
class Material:
    """What a cascade is made from: pictures by split, the tree, and how pictures became tensors.

    ``test`` is judged and written into the card, and chooses nothing. ``terms`` is what the card
    says about the right to use the pictures. ``teach`` answers for training
    pictures of a network that all decisions share (``cascade.training.distillation``).
    """

    train: Pictures
    validation: Pictures
    taxonomy: Taxonomy
    test: Pictures | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    terms: str = ""
    teach: Teach | None = None


def build_cascade(
    material: Material,
    settings: TrainingSettings,
    out_folder: Path,
    work_folder: Path,
    precision: float = PRECISION,
) -> Bundle:
    """Train every network of the architecture and write the bundle to ``out_folder``.

    What is done so far lies in ``work_folder``, and a run that was stopped goes on from there.
    Raises ``DatasetError`` where pictures are missing for a decision or the work folder belongs to
    other settings, ``BundleError`` where ``out_folder`` is taken, ``ValueError`` for runs
    that cannot be averaged.
    """
    _check_free(out_folder)
    check_runs(settings)
    _check_work(material, settings, work_folder)
    decided = networks_of(settings.architecture, material.taxonomy.decisions(settings.form))
    for decisions in decided:  # before hours of work, not after
        _concerned(material.train, decisions, material.taxonomy)
    started = time.monotonic()
    models, epochs, seconds = [], 0, 0.0
    for number, decisions in enumerate(decided):
        names = ", ".join(decision.node or "primary" for decision in decisions)
        log.info("network %d of %d: %s", number + 1, len(decided), names)
        left = _time_left(settings, started)
        folder = work_folder / str(number)
        models.append(_trained(material, decisions, replace(settings, limit_minutes=left), folder))
        epochs, seconds = epochs + _epochs_in(folder), seconds + _state_in(folder)["seconds"]
    facts = {"minutes": round(seconds / 60, 1), "epochs_done": epochs}
    return finish(material, settings, models, out_folder, facts, precision=precision)


def finish_from_weights(
    material: Material,
    settings: TrainingSettings,
    work_folder: Path,
    out_folder: Path,
    precision: float = PRECISION,
) -> Bundle:
    """A bundle from what a training run that was stopped has left in its work folder.

    Takes each network's final weights, or those after its last full epoch. The folder of one
    network (``latest.weights.h5`` in it) will do where the architecture has but one, and so will
    that of one of several runs.
    Raises ``BundleError`` where a network was not begun.
    """
    _check_free(out_folder)
    height, width = material.preprocessing.height, material.preprocessing.width
    models, epochs, seconds = [], 0, 0.0
    decided = networks_of(settings.architecture, material.taxonomy.decisions(settings.form))
    for number, decisions in enumerate(decided):
        folder = work_folder / str(number)
        if len(decided) == 1 and not folder.is_dir():
            folder = work_folder
        model = build(settings.architecture, decisions, height, width, settings.seed)
        model.load_weights(_weights_in(folder))
        models.append(model)
        epochs += _epochs_in(folder)
        seconds += _state_in(folder)["seconds"]
    facts = {"minutes": round(seconds / 60, 1), "epochs_done": epochs}
    return finish(material, settings, models, out_folder, facts, precision=precision)


def finish(
    material: Material,
    settings: TrainingSettings,
    models: Sequence[keras.Model],
    out_folder: Path,
    facts: Mapping[str, Any],
    *,
    precision: float = PRECISION,
) -> Bundle:
    """Calibrate on validation, judge, write the card and seal the bundle.

    Judged is what ships: the weights as stored (float16), read back, run as a worker runs them.
    """
    decisions = material.taxonomy.decisions(settings.form)
    decided = networks_of(settings.architecture, decisions)
    part = out_folder.with_name(out_folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    runners = []
    strengths: dict[str, float] = {}
    for number, model in enumerate(models):
        told = [
            concerned(each, decided[number], material.taxonomy)
            for each in (material.train, material.validation)
        ]
        strengths |= expect_true_shares(
            model, decided[number], *told, taxonomy=material.taxonomy, balance=settings.balance
        )
        write_network(part, number, model)
        runners.append(keras_runner(read_network(part, number)))
    network_of = [
        next(n for n, group in enumerate(decided) if decision in group) for decision in decisions
    ]
    bare = BundleParts(
        material.taxonomy, material.preprocessing, settings.form, decisions, network_of
    )
    write_parts(part, bare)
    cascade = Cascade(seal(part, {}, {}), runners)
    routing, logits = calibrate(cascade, material.validation, precision)
    figures = {"validation": evaluate(routing, logits, material.validation.items)}
    if material.test is not None and len(material.test):
        test_logits = all_logits(cascade, material.test.pixels)
        figures["test"] = evaluate(routing, test_logits, material.test.items)
    facts = {**facts, "prior_strengths": strengths}
    training = training_record(material.train, settings, facts, len(models), precision)
    parts = replace(
        bare,
        temperatures=routing.temperatures,
        thresholds=routing.thresholds,
        model_card=model_card(training, material.train.items, figures, material.terms),
    )
    write_parts(part, parts)
    seal(part, training, {split: short_figures(each) for split, each in figures.items()})
    out_folder.parent.mkdir(parents=True, exist_ok=True)
    if out_folder.is_dir():
        out_folder.rmdir()  # an empty one, see _check_free
    part.rename(out_folder)
    return Bundle.open(out_folder)


def calibrate(
    cascade: Cascade, validation: Pictures, precision: float = PRECISION
) -> tuple[Routing, np.ndarray]:
    """The cascade's routing with temperatures and thresholds fitted, and the logits used for it."""
    logits = all_logits(cascade, validation.pixels)
    bare = replace(cascade.routing, temperatures={}, thresholds={})
    answers = targets(validation.items, bare.decisions, bare.taxonomy)
    routing = replace(bare, temperatures=fit_temperatures(logits, answers, bare.decisions))
    labels = [item.label for item in validation.items]
    found = tune_thresholds(routing, logits, labels, precision)
    return replace(routing, thresholds=thresholds_of(found)), logits


def _trained(
    material: Material, decisions: DecisionSet, settings: TrainingSettings, folder: Path
) -> keras.Model:
    """One network, trained now or earlier."""
    train = _concerned(material.train, decisions, material.taxonomy)
    final = folder / FINAL_WEIGHTS
    if final.is_file():
        size = material.preprocessing
        model = build(settings.architecture, decisions, size.height, size.width, settings.seed)
        model.load_weights(final)
        return model
    validation = concerned(material.validation, decisions, material.taxonomy)
    model, _ = train_averaged(
        train,
        validation,
        decisions,
        material.taxonomy,
        settings,
        folder=folder,
        teach=material.teach,
    )
    unfinished = folder / f"part-{FINAL_WEIGHTS}"
    model.save_weights(unfinished)
    unfinished.rename(final)
    return model


def concerned(pictures: Pictures, decisions: DecisionSet, taxonomy: Taxonomy) -> Pictures:
    """The pictures that lie below the node of at least one of the decisions."""
    rows = targets(pictures.items, decisions, taxonomy).sum(axis=1) > 0
    if rows.all():
        return pictures
    return pictures.subset(rows)


def _concerned(pictures: Pictures, decisions: DecisionSet, taxonomy: Taxonomy) -> Pictures:
    found = concerned(pictures, decisions, taxonomy)
    answers = targets(found.items, decisions, taxonomy)
    totals = answers.sum(axis=0)
    missing = [name for name, total in zip(decisions.outcomes, totals, strict=True) if not total]
    if missing:
        raise DatasetError(
            f"no training picture for {', '.join(missing)}; add some, or train with a taxonomy "
            "that does not have them (--taxonomy)"
        )
    return found


def _check_free(out_folder: Path) -> None:
    if out_folder.exists() and (not out_folder.is_dir() or any(out_folder.iterdir())):
        raise BundleError(
            f"{out_folder}: is there already; name a new folder with --out, or move it"
        )


def _check_work(material: Material, settings: TrainingSettings, work_folder: Path) -> None:
    """Refuse to go on with another run's half-trained networks."""
    wanted = {
        "settings": settings.to_json() | {"limit_minutes": None},
        "fingerprint": fingerprint(material.train.items, material.train.pixels),
    }
    path = work_folder / "run.json"
    if not path.is_file():
        work_folder.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted)
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        raise DatasetError(
            f"{work_folder}: holds a run with other {' and '.join(differing)}; go on with those, "
            "name another folder with --work, or remove it"
        )


def _weights_in(folder: Path) -> Path:
    for name in (FINAL_WEIGHTS, LATEST_WEIGHTS):
        if (folder / name).is_file():
            return folder / name
    raise BundleError(f"{folder}: no {FINAL_WEIGHTS} or {LATEST_WEIGHTS}: not trained an epoch yet")


def _epochs_in(folder: Path) -> int:
    return int(_state_in(folder)["epoch"])


def _state_in(folder: Path) -> dict[str, Any]:
    """What a network's training said of itself: epochs and seconds, of all its starts and runs."""
    paths = (folder / "state.json", *sorted(folder.glob("*/state.json")))
    states = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
    return {name: sum(state.get(name, 0) for state in states) for name in ("epoch", "seconds")}


def _time_left(settings: TrainingSettings, started: float) -> float | None:
    if settings.limit_minutes is None:
        return None
    return max(0.0, settings.limit_minutes - (time.monotonic() - started) / 60)
