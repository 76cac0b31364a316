"""Training of one network, resumable after each epoch.

``cascade.training.build`` combines the networks of a cascade, calibrates them and writes the
bundle.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras

from cascade.networks.architectures import build
from cascade.networks.start import load_start
from cascade.training.batches import TrainingBatches, sampling_weights
from cascade.training.callbacks import (
    ProgressBar,
    SeedEpoch,
    SwapAveragedWeights,
    TimeLimit,
    ValidationMetrics,
)
from cascade.training.checkpoint import TrainingCheckpoint
from cascade.training.distillation import corrected_soft_labels
from cascade.training.losses import training_loss
from cascade.training.settings import TrainingSettings
from cascade.training.task import TrainingTask


def train_network(
    task: TrainingTask,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train one network.

    Args:
        task: Pictures and decisions.
        settings: The training settings.
        folder: Where the state after each epoch is stored. A stopped run resumes from it, to the
            same result as without the stop.
        callbacks: Called after validation, so that they see its metrics. A callback with an
            attribute ``validation`` gets the ``ValidationMetrics`` there.

    Returns:
        The network and the metrics of each epoch.
    """
    with tempfile.TemporaryDirectory() as scratch:
        validation = ValidationMetrics(task, settings.total_epochs)
        checkpoint = TrainingCheckpoint(folder or Path(scratch), validation, settings.patience)
        for callback in callbacks:
            if hasattr(callback, "validation"):
                callback.validation = validation
        keras.utils.set_random_seed(settings.seed)
        model = _network(task, settings)
        soft_labels = task.teacher if task.train.soft_labels is None else task.train.soft_labels
        batches = TrainingBatches(
            task.train.pixels,
            task.targets(task.train),
            sampling_weights(task.train.items, settings.balance),
            settings,
            checkpoint.state.epoch,
            soft_labels=soft_labels,
            teacher_pixels=task.train.teacher_pixels,
            correct=partial(corrected_soft_labels, decisions=task.decisions)
            if settings.teacher_views
            else None,
        )
        model.compile(
            optimizer=_optimizer(settings, len(batches)),
            loss=training_loss(
                task.decisions,
                settings.label_smoothing,
                mixed=settings.mix_probability > 0,
                distillation_weight=0.0 if soft_labels is None else settings.distillation_weight,
            ),
            jit_compile=False,  # XLA on a CPU is many times slower for depthwise convolutions
        )
        checkpoint.restore_training(model)
        if not checkpoint.state.finished and checkpoint.state.epoch < settings.total_epochs:
            model.fit(
                batches,
                epochs=settings.total_epochs,
                initial_epoch=checkpoint.state.epoch,
                verbose=0,
                callbacks=_callbacks(settings, batches, validation, checkpoint, callbacks),
                shuffle=False,
            )
        checkpoint.restore_selected(model)
        return model, validation.history


def _network(task: TrainingTask, settings: TrainingSettings) -> keras.Model:
    height, width = task.train.pixels.shape[1:3]
    model = build(settings.architecture, task.decisions, height, width, settings.seed)
    if task.start is not None:
        load_start(model, task.start)
    if settings.freeze_batch_norm:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    return model


class FinalLowRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule, or a constant rate, for ``steps`` steps, and ``low_rate`` after them."""

    def __init__(self, schedule: Any, steps: int, low_rate: float) -> None:
        super().__init__()
        self.schedule, self.steps, self.low_rate = schedule, steps, low_rate

    def __call__(self, step: Any) -> Any:
        rate = self.schedule(step) if callable(self.schedule) else self.schedule
        return keras.ops.where(step < self.steps, rate, self.low_rate)

    def get_config(self) -> dict[str, Any]:
        """Keras asks for this when it describes a compiled network."""
        schedule = self.schedule
        if callable(schedule):
            schedule = keras.saving.serialize_keras_object(schedule)
        return {"schedule": schedule, "steps": self.steps, "low_rate": self.low_rate}


def _optimizer(settings: TrainingSettings, steps: int) -> keras.optimizers.Optimizer:
    total = settings.epochs * steps
    rate: Any = settings.learning_rate
    if settings.schedule not in ("cosine", "constant"):
        raise ValueError(
            f"schedule: expected 'cosine' or 'constant', received {settings.schedule!r}"
        )
    if settings.schedule == "cosine":
        warm_up = min(steps, total // 10)
        rate = keras.optimizers.schedules.CosineDecay(
            settings.learning_rate / 20,
            decay_steps=max(1, total - warm_up),
            alpha=0.01,
            warmup_target=settings.learning_rate,
            warmup_steps=warm_up,
        )
    if settings.low_rate_epochs:
        rate = FinalLowRate(rate, total, settings.learning_rate / 20)
    return keras.optimizers.AdamW(
        rate,
        weight_decay=settings.weight_decay,
        use_ema=settings.ema_momentum is not None,
        ema_momentum=settings.ema_momentum or 0.99,
    )


def _callbacks(
    settings: TrainingSettings,
    batches: TrainingBatches,
    validation: ValidationMetrics,
    checkpoint: TrainingCheckpoint,
    more: Sequence[keras.callbacks.Callback],
) -> list[keras.callbacks.Callback]:
    """The callbacks in their order, see ``cascade.training.callbacks``."""
    chain: list[keras.callbacks.Callback] = [
        ProgressBar(settings.total_epochs, len(batches)),
        SeedEpoch(batches),
        checkpoint.before_averaging(),
    ]
    if settings.ema_momentum is not None:
        chain.append(SwapAveragedWeights())
    chain += [validation, *more, checkpoint]
    if settings.limit_minutes is not None:
        chain.append(TimeLimit(settings.limit_minutes))
    return chain
