"""Training learns, is reproducible from its seed, and resumes after a kill to the same result."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cascade.data.dataset import Item, Pictures, targets
from cascade.networks.architectures import Architecture
from cascade.taxonomy import Taxonomy
from cascade.training.augmentation import NO_AUGMENTATION, Augmentation
from cascade.training.callbacks import predict_logits
from cascade.training.fit import train_network
from cascade.training.losses import mean_loss
from cascade.training.settings import TrainingSettings
from cascade.training.task import TrainingTask

TREE = Taxonomy.from_labels(["flat/dark", "flat/light", "round/dark", "round/light"])
PRIMARY = TREE.decisions()[:1]
SETTINGS = TrainingSettings(
    Architecture("two_convolutions", {"filters": 4, "dense": [16], "dropout": 0.3}),
    epochs=4,
    batch_size=16,
    learning_rate=3e-3,
    augmentation=Augmentation(scale=(0.9, 1.1), shift=0.05),
    ema_momentum=0.9,
    seed=7,
)

PLAIN = replace(
    SETTINGS,
    architecture=Architecture("two_convolutions", {"filters": 8}),
    augmentation=NO_AUGMENTATION,
    ema_momentum=None,
    epochs=10,
)


def shapes(count: int, seed: int) -> Pictures:
    """Dark or light discs and flat bars in 18 × 24 pixels on white, somewhere in the picture."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[:24, :18]
    pixels, items = [], []
    for number in range(count):
        label = TREE.leaves[number % 4]
        y, x, half = random.integers(8, 16), random.integers(7, 11), random.integers(5, 7)
        if label.startswith("round"):
            inside = (down - y) ** 2 + (across - x) ** 2 <= half**2
        else:
            inside = (abs(down - y) <= 2) & (abs(across - x) <= half)
        shade = random.integers(0, 60) if label.endswith("dark") else random.integers(120, 180)
        picture = np.full((24, 18, 3), 255, np.uint8)
        picture[inside] = shade
        pixels.append(picture)
        items.append(Item(f"{number}", label, group=str(number)))
    return Pictures(tuple(items), np.stack(pixels))


def task(train: Pictures, validation: Pictures, **options: Any) -> TrainingTask:
    """Training for the primary decision, unless ``options`` say otherwise."""
    return TrainingTask(train, validation, **{"decisions": PRIMARY, "taxonomy": TREE, **options})


def train(settings: TrainingSettings, folder: Path | None = None) -> keras.Model:
    model, _ = train_network(task(shapes(96, 1), shapes(40, 2)), settings, folder=folder)
    return model


def weights(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.cascade.training.test_fit import SETTINGS, train
train(SETTINGS, Path(sys.argv[1]))
"""


def test_a_killed_run_resumes_to_the_same_result_as_without_the_kill(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    state, moment = tmp_path / "state.json", threading.Event()
    deadline = time.monotonic() + 280
    while not state.is_file() and process.poll() is None and time.monotonic() < deadline:
        moment.wait(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 1 <= json.loads(state.read_text())["epoch"] < 4, "killed after the last epoch"
    resumed = weights(train(SETTINGS, tmp_path))
    whole = weights(train(SETTINGS))
    assert all(np.array_equal(a, b) for a, b in zip(resumed, whole, strict=True))
    again = weights(train(SETTINGS, tmp_path))  # nothing left to do
    assert all(np.array_equal(a, b) for a, b in zip(again, whole, strict=True))
    other = weights(train(replace(SETTINGS, seed=8)))
    assert not all(np.array_equal(a, b) for a, b in zip(other, whole, strict=True))


def test_it_labels_pictures_it_was_not_trained_on() -> None:
    _, history = train_network(task(shapes(160, 3), shapes(80, 4)), PLAIN)
    assert len(history) == 10
    assert history[-1]["val_accuracy/primary"] >= 0.85  # 0.5 by chance
    assert history[-1]["val_loss"] < history[0]["val_loss"]


def test_early_stopping_keeps_the_best_epochs_weights(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=30, patience=2, ema_momentum=None, learning_rate=0.03)
    validation = shapes(40, 2)
    model, history = train_network(task(shapes(48, 1), validation), settings, folder=tmp_path)
    losses = [entry["val_loss"] for entry in history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 30
    kept = mean_loss(
        targets(validation.items, PRIMARY, TREE), predict_logits(model, validation.pixels), PRIMARY
    )
    assert kept == pytest.approx(losses[best], rel=1e-5)
    assert json.loads((tmp_path / "state.json").read_text())["finished"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stderr", "shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_a_progress_bar_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO, shown: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    train(replace(PLAIN, epochs=2))
    # 96 pictures in batches of 16: six steps an epoch
    assert ("epoch 2 of 2" in stderr.getvalue() and "/6 " in stderr.getvalue()) == shown
