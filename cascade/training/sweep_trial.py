"""One trial of a sweep: train a network for the decision, evaluate it on validation."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from cascade.data.dataset import Pictures
from cascade.decisions import DecisionSet
from cascade.training.callbacks import accuracies, predict_logits
from cascade.training.fit import train_network
from cascade.training.losses import mean_loss
from cascade.training.sweep import SweepPlan, TrialResult, trial_name, trial_settings
from cascade.training.task import TrainingTask
from cascade.training.tensorboard import TensorBoardLog, write_result


def run_trial(
    plan: SweepPlan, values: Mapping[str, Any], pictures: tuple[Pictures, Pictures], folder: Path
) -> TrialResult:
    """Train and evaluate. The state that a stopped trial resumes from is in ``folder/work``."""
    decisions = DecisionSet([plan.decision])
    task = TrainingTask(*pictures, decisions, plan.taxonomy).relevant()
    started = time.monotonic()
    model, history = train_network(
        task,
        trial_settings(plan, values),
        folder=folder / "work",
        callbacks=[TensorBoardLog(folder, plan.decision)],
    )
    seconds = time.monotonic() - started
    targets = task.targets(task.validation)
    logits = predict_logits(model, task.validation.pixels)
    accuracy = next(iter(accuracies(targets, logits, decisions).values()), 0.0)
    loss = mean_loss(targets, logits, decisions)
    weights = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    known = int((targets.sum(axis=1) == 1).sum())
    result = TrialResult(
        trial_name(values), dict(values), accuracy, loss, known, weights, len(history), seconds
    )
    keras.backend.clear_session()
    write_result(folder, result.name, values, accuracy)
    return result
