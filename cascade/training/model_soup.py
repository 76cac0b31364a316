"""Several trainings of one network, and the mean of their weights.

Trainings that start from the same pretrained weights and differ in their seed end near enough to
each other that the mean of their weights is a network too, at one network's cost (Wortsman et al.
2022, *Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time*). What one of them learnt by chance is not in the mean.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from cascade.data.dataset import Pictures
from cascade.decisions import DecisionSet
from cascade.taxonomy import Taxonomy
from cascade.training.batches import Teach
from cascade.training.fit import train_network
from cascade.training.settings import TrainingSettings

log = logging.getLogger(__name__)


def train_averaged(
    train: Pictures,
    validation: Pictures,
    decisions: DecisionSet,
    taxonomy: Taxonomy,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    teach: Teach | None = None,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """``train_network`` for each of ``settings.runs`` seeds, then the mean of all weights.

    The figures are those of all runs' epochs, one run after the other. With one run this is
    ``train_network``. Each run keeps its state in a folder of its own below ``folder``, and one
    that was stopped goes on.

    Raises ``ValueError`` as ``check_runs`` does.
    """
    if settings.runs == 1:
        return train_network(
            train, validation, decisions, taxonomy, settings, folder=folder, teach=teach
        )
    check_runs(settings)
    weights, figures = [], []
    for number in range(settings.runs):
        one = replace(settings, runs=1, seed=settings.seed + number)
        log.info("run %d of %d, seed %d", number + 1, settings.runs, one.seed)
        below = None if folder is None else run_folder(folder, number)
        model, history = train_network(
            train, validation, decisions, taxonomy, one, folder=below, teach=teach
        )
        weights.append(model.get_weights())
        figures += history
    model.set_weights([np.mean(values, axis=0) for values in zip(*weights, strict=True)])
    return model, figures


def check_runs(settings: TrainingSettings) -> None:
    """Raise ``ValueError`` where several runs cannot be averaged.

    Trainings that do not start from pretrained weights end far apart, and the mean of their weights
    knows nothing; a limit of time would stop the first run and leave none for the others.
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
            f"{settings.limit_minutes:g}; take one run, or stop and go on later"
        )


def run_folder(folder: Path, number: int) -> Path:
    """Where one run of several keeps its state."""
    return folder / f"run-{number + 1}"
