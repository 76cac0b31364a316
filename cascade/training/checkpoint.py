"""Checkpoints in a work folder, from which a stopped training resumes to the same result."""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras

from cascade.training.callbacks import ValidationMetrics

log = logging.getLogger(__name__)

LATEST_WEIGHTS = "latest.weights.h5"
STATE = "state.json"


@dataclass
class TrainingState:
    """Progress of one training, as stored in ``state.json``.

    ``epoch`` is the number of complete epochs. ``selected`` is the epoch, counted from 1, whose
    weights the network would get now: the best one with early stopping, else the last.
    """

    epoch: int = 0
    selected: int = 0
    best_loss: float = math.inf
    finished: bool = False
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> TrainingState:
        """The state in a work folder; a new one if there is none."""
        path = folder / STATE
        if not path.is_file():
            return cls()
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            epoch=content["epoch"],
            selected=content["kept"],
            best_loss=math.inf if content["best"] is None else content["best"],
            finished=content["finished"],
            seconds=content.get("seconds", 0.0),
            history=content["history"],
        )

    def write(self, folder: Path) -> None:
        """Replace ``state.json`` in one step."""
        content = {
            "epoch": self.epoch,
            "kept": self.selected,
            "best": self.best_loss if math.isfinite(self.best_loss) else None,
            "finished": self.finished,
            "seconds": round(self.seconds, 1),
            "history": self.history,
        }
        unfinished = folder / f"{STATE}.part"
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        unfinished.replace(folder / STATE)


class TrainingCheckpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Stores each epoch's state in a folder, and stops early.

    Files: ``raw-N.weights.h5`` is the training state after epoch N, with the optimizer;
    ``kept-N.weights.h5`` are the weights of the selected epoch, and ``latest.weights.h5`` is a copy
    of them under a fixed name. ``state.json`` is replaced last, so what it names is complete.
    """

    def __init__(self, folder: Path, validation: ValidationMetrics, patience: int | None) -> None:
        super().__init__()
        self.folder, self.patience = folder, patience
        folder.mkdir(parents=True, exist_ok=True)
        self.state = TrainingState.read(folder)
        validation.history = self.state.history
        self._started = time.monotonic()

    def before_averaging(self) -> keras.callbacks.Callback:
        """A callback that stores the training state. It must run before ``SwapAveragedWeights``."""
        return keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self._save(f"raw-{epoch + 1}")
        )

    def restore_training(self, model: keras.Model) -> None:
        """Load weights and optimizer of the last complete epoch, if there is one."""
        if self.state.epoch:
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self._path(f"raw-{self.state.epoch}"))
            log.info("resuming after epoch %d", self.state.epoch)

    def restore_selected(self, model: keras.Model) -> None:
        """Load the weights of the selected epoch: the result of the training."""
        if self.state.selected:
            model.load_weights(self._path(f"kept-{self.state.selected}"))

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        state, number = self.state, epoch + 1
        outdated = [f"raw-{state.epoch}", f"kept-{state.selected}"]
        loss = (logs or {}).get("val_loss")
        if self.patience is None or loss is None or loss < state.best_loss:
            state.best_loss = math.inf if loss is None else float(loss)
            state.selected = number
            self._save(f"kept-{number}")
        if self.patience is not None and number - state.selected >= self.patience:
            self.model.stop_training = True
            state.finished = True
        state.epoch = number
        now = time.monotonic()
        state.seconds, self._started = state.seconds + now - self._started, now
        state.write(self.folder)
        self._copy_latest()
        for name in set(outdated) - {f"raw-{state.epoch}", f"kept-{state.selected}"}:
            self._path(name).unlink(missing_ok=True)

    def _save(self, name: str) -> None:
        self.model.save_weights(self._path(name), overwrite=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.weights.h5"

    def _copy_latest(self) -> None:
        unfinished = self.folder / f"part-{LATEST_WEIGHTS}"
        shutil.copyfile(self._path(f"kept-{self.state.selected}"), unfinished)
        unfinished.replace(self.folder / LATEST_WEIGHTS)


def training_totals(folder: Path) -> tuple[int, float]:
    """Epochs and seconds of a network's training, over all its runs and restarts."""
    folders = (folder, *(path.parent for path in sorted(folder.glob(f"*/{STATE}"))))
    states = [TrainingState.read(each) for each in folders]
    return sum(state.epoch for state in states), sum(state.seconds for state in states)
