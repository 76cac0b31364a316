"""Several trainings from the same start, and the mean of their weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cascade.data.dataset import Pictures, targets
from cascade.networks.architectures import Architecture
from cascade.training.build import build_cascade
from cascade.training.fit import TrainingSettings, accuracies, logits_of, train_network
from cascade.training.model_soup import run_folder, train_averaged

from .test_build import material
from .test_fit import PLAIN, PRIMARY, SETTINGS, TREE, shapes, weights

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


def averaged(settings: TrainingSettings, folder: Path | None = None) -> keras.Model:
    model, _ = train_averaged(TRAIN, VALIDATION, PRIMARY, TREE, settings, folder=folder)
    return model


def alone(seed: int) -> keras.Model:
    one = replace(TWICE, runs=1, seed=seed)
    return train_network(TRAIN, VALIDATION, PRIMARY, TREE, one)[0]


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_it_is_the_mean_of_trainings_from_two_seeds() -> None:
    first, second = weights(alone(TWICE.seed)), weights(alone(TWICE.seed + 1))
    assert not same(first, second)
    mean = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    found = weights(averaged(TWICE))
    for number, (a, b) in enumerate(zip(found, mean, strict=True)):
        assert a == pytest.approx(b, abs=1e-6), number


def test_the_mean_knows_what_its_parts_knew() -> None:
    settings = replace(TWICE, epochs=6)
    model, history = train_averaged(TRAIN, VALIDATION, PRIMARY, TREE, settings)
    assert len(history) == 12
    answers = targets(VALIDATION.items, PRIMARY, TREE)
    found = accuracies(answers, logits_of(model, VALIDATION.pixels), PRIMARY)
    assert found["val_accuracy/primary"] >= 0.8  # 0.5 by chance


def test_what_was_stopped_goes_on_to_the_same_mean(
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


def test_networks_that_start_anywhere_are_not_averaged() -> None:
    with pytest.raises(ValueError, match=r"runs: expected 1 for two_convolutions.*received 2"):
        averaged(replace(SETTINGS, runs=2))
    with pytest.raises(ValueError, match=r"runs: expected 1 for trunk"):
        averaged(replace(TWICE, architecture=Architecture("trunk", {"pretrained": False})))
    with pytest.raises(ValueError, match=r"limit_minutes: expected none with 2 runs, received 5"):
        averaged(replace(TWICE, limit_minutes=5.0))


def test_a_refused_run_leaves_no_work_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="runs: expected 1"):
        build_cascade(material(), replace(PLAIN, runs=2), tmp_path / "bundle", tmp_path / "work")
    assert not any(tmp_path.iterdir())


def stopping_at(start: int) -> Any:
    """``train_network``, with Ctrl-C at the given start of a training."""
    starts = iter(range(1, 10))

    def train(*arguments: Pictures, **options: Any) -> Any:
        if next(starts) == start:
            raise KeyboardInterrupt
        return train_network(*arguments, **options)

    return train
