"""What happens around an epoch: judge it, keep it, stop in time, go on after a kill.

The order matters. ``Keeper.raw`` stores the training state before the averaged weights are swapped
in; ``Judge`` and ``Keeper`` itself see the averaged ones, which are what a bundle gets.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cascade.chunks import chunks
from cascade.data.dataset import Pictures, targets
from cascade.decisions import DecisionSet
from cascade.taxonomy import Taxonomy
from cascade.training.batches import TrainingBatches
from cascade.training.losses import batch_loss

log = logging.getLogger(__name__)

LATEST = "latest.weights.h5"


class StartEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets what is random in an epoch by its number alone: the batches and the dropout.

    After a resumed start an epoch so sees what it would have seen without the stop.
    """

    def __init__(self, batches: TrainingBatches) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.batches.epoch != epoch:
            self.batches.start_epoch(epoch)
        for number, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                state = layer.seed_generator.state
                seed = (self.batches.settings.seed + number) % 2**32
                state.assign(np.array([seed, (epoch + 1) * 1_000_003 % 2**32], np.uint32))


class AveragedWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Puts the optimizer's averaged weights into the network from an epoch's end to the next.

    As Keras' ``SwapEMAWeights``, but by copies: that one swaps by adding and subtracting, which
    leaves rounding in the weights, so that a resumed run would drift from one without a stop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raw: list[np.ndarray] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.raw is not None:
            for variable, value in zip(self.model.trainable_variables, self.raw, strict=True):
                variable.assign(value)
            self.raw = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        variables = self.model.trainable_variables
        self.raw = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
        averages = self.model.optimizer._model_variables_moving_average
        for variable, average in zip(variables, averages, strict=True):
            variable.assign(average)


class Judge(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: loss and accuracy on the validation pictures, into the epoch's logs.

    Logs one line with the time left. ``history`` holds each epoch's figures, those of epochs
    before a resumed start included.
    """

    def __init__(
        self, pictures: Pictures, decisions: DecisionSet, taxonomy: Taxonomy, epochs: int
    ) -> None:
        super().__init__()
        self.pictures, self.decisions, self.epochs = pictures, decisions, epochs
        self.answers = targets(pictures.items, decisions, taxonomy)
        self.started, self.done = time.monotonic(), 0
        self.history: list[dict[str, float]] = []
        self.logits = np.zeros((0, self.answers.shape[1]), np.float32)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {} if logs is None else logs
        if len(self.pictures):
            self.logits = logits_of(self.model, self.pictures.pixels)
            logs["val_loss"] = batch_loss(self.answers, self.logits, self.decisions)
            logs.update(accuracies(self.answers, self.logits, self.decisions))
        self.history.append({name: float(value) for name, value in logs.items()})
        self.done += 1
        left = (time.monotonic() - self.started) / self.done * (self.epochs - epoch - 1)
        figures = ", ".join(f"{name} {value:.4f}" for name, value in self.history[-1].items())
        log.info(
            "epoch %d of %d: %s; %.1f minutes left", epoch + 1, self.epochs, figures, left / 60
        )


class TimeLimit(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops before an epoch that would end after the limit."""

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.limit, self.started, self.epochs = minutes * 60, time.monotonic(), 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epochs += 1
        spent = time.monotonic() - self.started
        if spent + spent / self.epochs > self.limit:
            log.warning("stopping after epoch %d: the time limit is near", epoch + 1)
            self.model.stop_training = True


class Keeper(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops early, and keeps in a folder what a killed run needs to go on to the same result.

    ``state.json`` is replaced last, in one step: what it names is complete. It names the raw
    training state of the last full epoch (``raw-N``, with the optimizer) and the weights that the
    network would be given now (``kept-N``: the best epoch's with ``patience``, else the last's).
    """

    def __init__(self, folder: Path, judge: Judge, patience: int | None) -> None:
        super().__init__()
        self.folder, self.judge, self.patience = folder, judge, patience
        self.epoch, self.kept, self.best = 0, 0, float("inf")
        self.finished = False
        self.seconds, self._began = 0.0, time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self._read()

    def raw(self) -> keras.callbacks.Callback:
        """The callback that stores the training state, for the place before the swap."""
        return keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self._save(f"raw-{epoch + 1}")
        )

    def restore(self, model: keras.Model) -> None:
        """Load the training state of the last full epoch, if there is one."""
        if self.epoch:
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self._path(f"raw-{self.epoch}"))
            log.info("going on after epoch %d", self.epoch)

    def restore_kept(self, model: keras.Model) -> None:
        """Load the weights that the trained network is to have."""
        if self.kept:
            model.load_weights(self._path(f"kept-{self.kept}"))

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        number, old = epoch + 1, (self.epoch, self.kept)
        loss = (logs or {}).get("val_loss")
        if self.patience is None or loss is None or loss < self.best:
            self.best, self.kept = float("inf") if loss is None else float(loss), number
            self._save(f"kept-{number}")
        if self.patience is not None and number - self.kept >= self.patience:
            self.model.stop_training = True
            self.finished = True
        self.epoch = number
        self.seconds += time.monotonic() - self._began
        self._began = time.monotonic()
        self._write()
        self._tidy(*old)

    def _save(self, name: str) -> None:
        self.model.save_weights(self._path(name), overwrite=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.weights.h5"

    def _write(self) -> None:
        content = {
            "epoch": self.epoch,
            "kept": self.kept,
            "best": self.best if np.isfinite(self.best) else None,
            "finished": self.finished,
            "seconds": round(self.seconds, 1),
            "history": self.judge.history,
        }
        unfinished = self.folder / "state.json.part"
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.replace(unfinished, self.folder / "state.json")  # noqa: PTH105
        latest = self.folder / f"part-{LATEST}"
        shutil.copyfile(self._path(f"kept-{self.kept}"), latest)
        latest.replace(self.folder / LATEST)

    def _read(self) -> None:
        path = self.folder / "state.json"
        if not path.is_file():
            return
        content = json.loads(path.read_text(encoding="utf-8"))
        self.epoch, self.kept = content["epoch"], content["kept"]
        self.finished = content["finished"]
        self.seconds = content.get("seconds", 0.0)
        self.best = float("inf") if content["best"] is None else content["best"]
        self.judge.history = content["history"]

    def _tidy(self, raw: int, kept: int) -> None:
        if raw and raw != self.epoch:
            self._path(f"raw-{raw}").unlink(missing_ok=True)
        if kept and kept != self.kept:
            self._path(f"kept-{kept}").unlink(missing_ok=True)


def accuracies(answers: np.ndarray, logits: np.ndarray, decisions: DecisionSet) -> dict[str, float]:
    """Each decision's accuracy where the answer is known, as ``val_accuracy/NODE``."""
    result = {}
    for decision, columns in decisions.with_columns():
        known = answers[:, columns].sum(axis=1) == 1
        if known.any():
            right = answers[known, columns].argmax(1) == logits[known, columns].argmax(1)
            result[f"val_accuracy/{decision.node or 'primary'}"] = float(right.mean())
    return result


def logits_of(model: keras.Model, pixels: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """``(N, height, width, 3)`` uint8 pictures to ``(N, K)`` float32 logits, in batches."""
    answers = [
        keras.ops.convert_to_numpy(model.predict_on_batch(pixels[rows]))
        for rows in chunks(len(pixels), batch_size)
    ]
    return np.concatenate(answers) if answers else np.zeros((0, model.output_shape[-1]), np.float32)
