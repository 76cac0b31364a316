"""Training: labelled pictures in, a trained network out.

One network is trained at a time, for the decisions that it answers; ``cascade.training.build`` puts
the networks of a cascade together, calibrates them and writes the bundle.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from cascade.data.dataset import Pictures, targets
from cascade.decisions import DecisionSet
from cascade.networks.architectures import build
from cascade.taxonomy import Taxonomy
from cascade.training.batches import Teach, TrainingBatches, draw_weights
from cascade.training.callbacks import (
    AveragedWeights,
    Judge,
    Keeper,
    StartEpoch,
    TimeLimit,
    accuracies,
    logits_of,
)
from cascade.training.losses import training_loss
from cascade.training.progress import Progress
from cascade.training.settings import TrainingSettings, settings_for

__all__ = [
    "Judge",
    "Settling",
    "TrainingBatches",
    "TrainingSettings",
    "accuracies",
    "draw_weights",
    "logits_of",
    "settings_for",
    "train_network",
]


def train_network(
    train: Pictures,
    validation: Pictures,
    decisions: DecisionSet,
    taxonomy: Taxonomy,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    teach: Teach | None = None,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train one network for ``decisions``; returns it with the figures of each epoch.

    With ``folder``, the state after each epoch is kept there, and a run that was killed goes on
    from it to the result that it would have had. ``callbacks`` stand behind the judging, so that
    they see an epoch's figures; one that has an attribute ``judge`` is given the ``Judge``.
    ``teach`` answers for the pictures of a batch as they are shown, augmented and mixed; pictures
    that were taught before (``Pictures.taught``) need none.
    """
    with tempfile.TemporaryDirectory() as scratch:
        judge = Judge(validation, decisions, taxonomy, settings.all_epochs)
        keeper = Keeper(folder or Path(scratch), judge, settings.patience)
        for callback in callbacks:
            if hasattr(callback, "judge"):
                callback.judge = judge
        keras.utils.set_random_seed(settings.seed)
        model = _network(train, decisions, settings)
        batches = TrainingBatches(
            train.pixels,
            targets(train.items, decisions, taxonomy),
            draw_weights(train.items, settings.balance),
            settings,
            keeper.epoch,
            teach=teach if train.taught is None else train.taught,
        )
        model.compile(
            optimizer=_optimizer(settings, len(batches)),
            loss=training_loss(
                decisions,
                settings.label_smoothing,
                mixed=settings.mix > 0,
                teacher_share=0.0 if batches.teach is None else settings.teacher_share,
            ),
            jit_compile=False,  # XLA on a CPU is many times slower for depthwise convolutions
        )
        keeper.restore(model)
        if not keeper.finished and keeper.epoch < settings.all_epochs:
            model.fit(
                batches,
                epochs=settings.all_epochs,
                initial_epoch=keeper.epoch,
                verbose=0,
                callbacks=_callbacks(settings, batches, judge, keeper, callbacks),
                shuffle=False,
            )
        keeper.restore_kept(model)
        return model, judge.history


def _network(train: Pictures, decisions: DecisionSet, settings: TrainingSettings) -> keras.Model:
    height, width = train.pixels.shape[1:3]
    model = build(settings.architecture, decisions, height, width, settings.seed)
    if settings.freeze_batch_norm:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    return model


class Settling(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule, or one rate, for so many steps, and ``low`` after them."""

    def __init__(self, before: Any, steps: int, low: float) -> None:
        super().__init__()
        self.before, self.steps, self.low = before, steps, low

    def __call__(self, step: Any) -> Any:
        before = self.before(step) if callable(self.before) else self.before
        return keras.ops.where(step < self.steps, before, self.low)

    def get_config(self) -> dict[str, Any]:
        """What Keras asks for when it describes a compiled network."""
        before = self.before
        if callable(before):
            before = keras.saving.serialize_keras_object(before)
        return {"before": before, "steps": self.steps, "low": self.low}


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
    if settings.settle:
        rate = Settling(rate, total, settings.learning_rate / 20)
    return keras.optimizers.AdamW(
        rate,
        weight_decay=settings.weight_decay,
        use_ema=settings.average is not None,
        ema_momentum=settings.average or 0.99,
    )


def _callbacks(
    settings: TrainingSettings,
    batches: TrainingBatches,
    judge: Judge,
    keeper: Keeper,
    more: Sequence[keras.callbacks.Callback],
) -> list[keras.callbacks.Callback]:
    """In order: what resumes sees the raw weights; what judges and keeps sees the averaged ones."""
    chain: list[keras.callbacks.Callback] = [
        Progress(settings.all_epochs, len(batches)),
        StartEpoch(batches),
        keeper.raw(),
    ]
    if settings.average is not None:
        chain.append(AveragedWeights())
    chain += [judge, *more, keeper]
    if settings.limit_minutes is not None:
        chain.append(TimeLimit(settings.limit_minutes))
    return chain
