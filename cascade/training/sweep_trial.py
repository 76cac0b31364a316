"""One trial of a sweep: a network trained for the decision, judged on validation."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from cascade.data.dataset import Pictures, targets
from cascade.decisions import DecisionSet
from cascade.training.build import concerned
from cascade.training.callbacks import accuracies, logits_of
from cascade.training.fit import train_network
from cascade.training.losses import batch_loss
from cascade.training.sweep import SweepPlan, TrialResult, settings_of, trial_name
from cascade.training.tensorboard import TensorBoardLog, write_result


def run_trial(
    plan: SweepPlan, values: Mapping[str, Any], pictures: tuple[Pictures, Pictures], folder: Path
) -> TrialResult:
    """Train and judge; the state that a stopped trial goes on from lies in ``folder/work``."""
    decisions = DecisionSet([plan.decision])
    train, validation = (concerned(part, decisions, plan.taxonomy) for part in pictures)
    started = time.monotonic()
    model, history = train_network(
        train,
        validation,
        decisions,
        plan.taxonomy,
        settings_of(plan, values),
        folder=folder / "work",
        callbacks=[TensorBoardLog(folder, plan.decision)],
    )
    seconds = time.monotonic() - started
    answers = targets(validation.items, decisions, plan.taxonomy)
    logits = logits_of(model, validation.pixels)
    accuracy = next(iter(accuracies(answers, logits, decisions).values()), 0.0)
    loss = batch_loss(answers, logits, decisions)
    weights = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    known = int((answers.sum(axis=1) == 1).sum())
    result = TrialResult(
        trial_name(values), dict(values), accuracy, loss, known, weights, len(history), seconds
    )
    keras.backend.clear_session()
    write_result(folder, result.name, values, accuracy)
    return result
