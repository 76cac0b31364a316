"""Model soup: train a network several times and average the weights.

Trainings that start from the same pretrained weights and differ only in their seed end close enough
to each other that the mean of their weights is a network too, at the cost of one (Wortsman et al.
2022, *Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time*). Averaging removes what a single training learned by chance.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from cascade.training.fit import train_network
from cascade.training.settings import TrainingSettings
from cascade.training.task import TrainingTask

log = logging.getLogger(__name__)


def train_averaged(
    task: TrainingTask, settings: TrainingSettings, *, folder: Path | None = None
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Call ``train_network`` for each of ``settings.runs`` seeds and average the weights.

    With several runs, each keeps its state in its own folder below ``folder``, and a stopped one
    resumes.

    Returns:
        The network and the metrics of each epoch, run after run.

    Raises:
        ValueError: As in ``check_runs``.
    """
    if settings.runs == 1:
        return train_network(task, settings, folder=folder)
    check_runs(settings)
    weights, metrics = [], []
    for number in range(settings.runs):
        one = replace(settings, runs=1, seed=settings.seed + number)
        log.info("run %d of %d, seed %d", number + 1, settings.runs, one.seed)
        below = None if folder is None else run_folder(folder, number)
        model, history = train_network(task, one, folder=below)
        weights.append(model.get_weights())
        metrics += history
    model.set_weights([np.mean(values, axis=0) for values in zip(*weights, strict=True)])
    return model, metrics


def check_runs(settings: TrainingSettings) -> None:
    """Raise ``ValueError`` for several runs that cannot be averaged.

    Without pretrained weights, trainings end far apart and the mean of their weights is useless. A
    time limit would stop the first run and leave no time for the others.
    """
    if settings.runs == 1:
        return
    if not settings.architecture.pretrained:
        raise ValueError(
            f"runs: expected 1 for {settings.architecture.name}, which starts from random weights; "
            f"received {settings.runs}: only trainings from the same weights can be averaged"
        )
    if settings.limit_minutes is not None:
        raise ValueError(
            f"limit_minutes: expected none with {settings.runs} runs, received "
            f"{settings.limit_minutes:g}; use one run, or stop by hand and resume later"
        )


def run_folder(folder: Path, number: int) -> Path:
    """Folder with the state of one of several runs, counted from 0."""
    return folder / f"run-{number + 1}"
