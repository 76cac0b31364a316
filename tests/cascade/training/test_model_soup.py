"""Model soup: the mean weights of several trainings from the same start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cascade.data.dataset import targets
from cascade.networks.architectures import Architecture
from cascade.training.build import build_cascade
from cascade.training.callbacks import accuracies, predict_logits
from cascade.training.fit import train_network
from cascade.training.model_soup import run_folder, train_averaged
from cascade.training.settings import TrainingSettings

from .test_build import data
from .test_fit import PLAIN, PRIMARY, SETTINGS, TREE, shapes, task, weights

TRUNK = Architecture("trunk", {"blocks": 3, "drop_path": 0.1})
TWICE = replace(
    SETTINGS,
    architecture=TRUNK,
    epochs=2,
    learning_rate=1e-3,
    freeze_batch_norm=True,
    runs=2,
)
TRAIN, VALIDATION = shapes(96, 1), shapes(40, 2)
TASK = task(TRAIN, VALIDATION)


def averaged(settings: TrainingSettings, folder: Path | None = None) -> keras.Model:
    model, _ = train_averaged(TASK, settings, folder=folder)
    return model


def alone(seed: int) -> keras.Model:
    one = replace(TWICE, runs=1, seed=seed)
    return train_network(TASK, one)[0]


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_it_is_the_mean_of_trainings_with_two_seeds() -> None:
    first, second = weights(alone(TWICE.seed)), weights(alone(TWICE.seed + 1))
    assert not same(first, second)
    mean = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    found = weights(averaged(TWICE))
    for number, (a, b) in enumerate(zip(found, mean, strict=True)):
        assert a == pytest.approx(b, abs=1e-6), number


@pytest.mark.heavy
def test_the_mean_is_as_accurate_as_its_parts() -> None:
    settings = replace(TWICE, epochs=6)
    model, history = train_averaged(TASK, settings)
    assert len(history) == 12
    answers = targets(VALIDATION.items, PRIMARY, TREE)
    found = accuracies(answers, predict_logits(model, VALIDATION.pixels), PRIMARY)
    assert found["val_accuracy/primary"] >= 0.8  # 0.5 by chance


def test_a_stopped_run_resumes_to_the_same_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(TWICE, epochs=1)
    whole = weights(averaged(settings))
    monkeypatch.setattr("cascade.training.model_soup.train_network", stopping_at(2))
    with pytest.raises(KeyboardInterrupt):
        averaged(settings, tmp_path)
    assert (run_folder(tmp_path, 0) / "state.json").is_file()
    assert not (run_folder(tmp_path, 1) / "state.json").is_file()
    monkeypatch.undo()
    kept = (run_folder(tmp_path, 0) / "state.json").stat().st_mtime_ns
    assert same(weights(averaged(settings, tmp_path)), whole)
    assert (run_folder(tmp_path, 0) / "state.json").stat().st_mtime_ns == kept  # not done again
    assert same(weights(averaged(settings, tmp_path)), whole)  # nothing left to do


def test_networks_with_random_initial_weights_are_not_averaged() -> None:
    with pytest.raises(ValueError, match=r"runs: expected 1 for two_convolutions.*received 2"):
        averaged(replace(SETTINGS, runs=2))
    with pytest.raises(ValueError, match=r"runs: expected 1 for trunk"):
        averaged(replace(TWICE, architecture=Architecture("trunk", {"pretrained": False})))
    with pytest.raises(ValueError, match=r"limit_minutes: expected none with 2 runs, received 5"):
        averaged(replace(TWICE, limit_minutes=5.0))


def test_refused_settings_leave_no_work_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="runs: expected 1"):
        build_cascade(data(), replace(PLAIN, runs=2), tmp_path / "bundle", tmp_path / "work")
    assert not any(tmp_path.iterdir())


def stopping_at(start: int) -> Any:
    """``train_network``, with Ctrl-C at the given start of a training."""
    starts = iter(range(1, 10))

    def train(*arguments: Any, **options: Any) -> Any:
        if next(starts) == start:
            raise KeyboardInterrupt
        return train_network(*arguments, **options)

    return train
