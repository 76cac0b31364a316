"""Keras callbacks of a training: seeds, averaged weights, validation, progress, time limit.

Their order matters: the training state is stored before ``SwapAveragedWeights``; validation and
the stored result use the averaged weights, which are the ones a bundle gets.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from cascade.chunks import chunks
from cascade.decisions import DecisionSet
from cascade.training.batches import TrainingBatches
from cascade.training.losses import mean_loss
from cascade.training.task import TrainingTask

log = logging.getLogger(__name__)


class SeedEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Seeds batches and dropout by the epoch's number, so that a resumed run repeats them."""

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


class SwapAveragedWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Gives the network the optimizer's averaged weights between the end of an epoch and the next.

    Like Keras' ``SwapEMAWeights``, but with copies. Keras swaps by adding and subtracting, which
    leaves rounding errors in the weights, so that a resumed run would differ from one without a
    stop.
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


class ValidationMetrics(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds validation loss and accuracy to each epoch's logs, and logs one line with the time left.

    ``history`` holds the metrics of every epoch, also of those before a restart. ``logits`` are the
    ``(N, K)`` float32 logits of the last epoch.
    """

    def __init__(self, task: TrainingTask, epochs: int) -> None:
        super().__init__()
        self.pixels, self.decisions, self.epochs = task.validation.pixels, task.decisions, epochs
        self.targets = task.targets(task.validation)
        self.started, self.epochs_done = time.monotonic(), 0
        self.history: list[dict[str, float]] = []
        self.logits = np.zeros((0, self.targets.shape[1]), np.float32)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {} if logs is None else logs
        if len(self.pixels):
            self.logits = predict_logits(self.model, self.pixels)
            logs["val_loss"] = mean_loss(self.targets, self.logits, self.decisions)
            logs.update(accuracies(self.targets, self.logits, self.decisions))
        self.history.append({name: float(value) for name, value in logs.items()})
        self.epochs_done += 1
        seconds_each = (time.monotonic() - self.started) / self.epochs_done
        log.info(
            "epoch %d of %d: %s; %.1f minutes left",
            epoch + 1,
            self.epochs,
            ", ".join(f"{name} {value:.4f}" for name, value in self.history[-1].items()),
            seconds_each * (self.epochs - epoch - 1) / 60,
        )


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """A bar for each epoch: steps done, steps a second, time left, and the running loss."""

    def __init__(self, epochs: int, steps: int) -> None:
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.bar: tqdm[Any] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.bar = tqdm(
            total=self.steps,
            desc=f"epoch {epoch + 1} of {self.epochs}",
            unit="step",
            leave=False,
            file=sys.stderr,
            disable=None,  # only where stderr is a terminal
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.bar is not None:
            self.bar.update()
            if logs and "loss" in logs:
                self.bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._close()

    def on_train_end(self, logs: Any = None) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class TimeLimit(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops before an epoch that would end after the limit."""

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.limit, self.started, self.epochs = minutes * 60, time.monotonic(), 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epochs += 1
        spent = time.monotonic() - self.started
        if spent + spent / self.epochs > self.limit:
            log.warning("stopping after epoch %d: the next would exceed the time limit", epoch + 1)
            self.model.stop_training = True


def accuracies(targets: np.ndarray, logits: np.ndarray, decisions: DecisionSet) -> dict[str, float]:
    """Each decision's accuracy on the fully known labels, as ``val_accuracy/NODE``."""
    result = {}
    for decision, columns in decisions.with_columns():
        known = targets[:, columns].sum(axis=1) == 1
        if known.any():
            right = targets[known, columns].argmax(1) == logits[known, columns].argmax(1)
            result[f"val_accuracy/{decision.node or 'primary'}"] = float(right.mean())
    return result


def predict_logits(model: keras.Model, pixels: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """``(N, height, width, 3)`` uint8 pictures to ``(N, K)`` float32 logits, in batches."""
    logits = [
        keras.ops.convert_to_numpy(model.predict_on_batch(pixels[rows]))
        for rows in chunks(len(pixels), batch_size)
    ]
    return np.concatenate(logits) if logits else np.zeros((0, model.output_shape[-1]), np.float32)
