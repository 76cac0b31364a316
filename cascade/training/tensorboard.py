"""TensorBoard logs of a sweep: hyperparameters, scalars, histograms, confusion matrices."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cascade.decisions import Decision
from cascade.evaluation.evaluate import ConfusionMatrix
from cascade.evaluation.metrics import confusion_matrix
from cascade.evaluation.plots import confusion_png
from cascade.training.callbacks import ValidationMetrics

ACCURACY = "accuracy"  # tag of the final metric of a trial, shown on the HParams page


def write_experiment(folder: Path, space: Mapping[str, Sequence[Any]]) -> None:
    """Declare the hyperparameters and the metric for TensorBoard's HParams page."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hp

    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        hp.hparams_config(
            hparams=[hp.HParam(name, hp.Discrete(list(values))) for name, values in space.items()],
            metrics=[hp.Metric(ACCURACY, display_name="validation accuracy")],
        )
    writer.close()


def write_result(folder: Path, name: str, values: Mapping[str, Any], accuracy: float) -> None:
    """Write a trial's hyperparameters and its final accuracy."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hp

    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        hp.hparams(dict(values), trial_id=name)
        tf.summary.scalar(ACCURACY, accuracy, step=1)
    writer.close()


class TensorBoardLog(keras.callbacks.Callback):  # type: ignore[misc]
    """Each epoch: training and validation scalars, weight histograms, the confusion matrix.

    The runs are named ``train`` and ``validation`` below the trial, so that TensorBoard draws both
    curves in one chart. ``train_network`` sets ``validation``, which has the epoch's logits.
    """

    def __init__(self, folder: Path, decision: Decision) -> None:
        super().__init__()
        self.folder, self.decision = folder, decision
        self.validation: ValidationMetrics | None = None
        self.writers: dict[str, Any] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        import tensorflow as tf

        self.writers = {
            run: tf.summary.create_file_writer(str(self.folder / run))
            for run in ("train", "validation")
        }

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        import tensorflow as tf

        logs = logs or {}
        step = epoch + 1
        with self.writers["train"].as_default():
            tf.summary.scalar("loss", logs["loss"], step=step)
            for variable in self.model.trainable_variables:
                tf.summary.histogram(variable.path, variable, step=step)
        with self.writers["validation"].as_default():
            tf.summary.scalar("loss", logs.get("val_loss", float("nan")), step=step)
            accuracy = logs.get(f"val_accuracy/{self.decision.node or 'primary'}")
            if accuracy is not None:
                tf.summary.scalar(ACCURACY, accuracy, step=step)
            tf.summary.image("confusion", self._matrix()[None], step=step)
        for writer in self.writers.values():
            writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        for writer in self.writers.values():
            writer.close()

    def _matrix(self) -> np.ndarray:
        """The epoch's confusion matrix as a ``(height, width, 3)`` uint8 picture."""
        from PIL import Image

        if self.validation is None:
            raise RuntimeError("TensorBoardLog.validation is not set; use it with train_network")
        targets, logits = self.validation.targets, self.validation.logits
        names = np.array(self.decision.outcomes)
        known = targets.sum(axis=1) == 1
        truth = names[targets[known].argmax(axis=1)].tolist()
        predicted = names[logits[known].argmax(axis=1)].tolist()
        table = confusion_matrix(truth, predicted, self.decision.outcomes)
        png = confusion_png(ConfusionMatrix(self.decision.outcomes, table))
        return np.array(Image.open(io.BytesIO(png)).convert("RGB"))
