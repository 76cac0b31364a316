"""Training: labelled pictures in, a trained network out.

One network is trained at a time, for the decisions that it answers; ``cascade.building`` puts the
networks of a cascade together, calibrates them and writes the bundle.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cascade.augmentation import NONE, Augmentation, augment
from cascade.dataset import DRAWINGS, Item, Pictures, targets
from cascade.losses import batch_loss, decision_loss
from cascade.networks import Architecture, build
from cascade.taxonomy import Decision, Taxonomy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that a training run depends on, beside the pictures; written into the bundle.

    ``balance`` is how far small classes are drawn more often: 0 not at all, 1 every class equally
    often. ``average`` is the momentum of the averaged weights that are kept (None: the last ones).
    ``patience`` stops after so many epochs without a better validation loss (None: never).
    """

    architecture: Architecture = field(default_factory=Architecture)
    form: str = "combined"
    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 8e-4
    schedule: str = "cosine"
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    balance: float = 0.5
    average: float | None = 0.998
    patience: int | None = None
    freeze_batch_norm: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 2026
    limit_minutes: float | None = None

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return result


def settings_for(architecture: str) -> TrainingSettings:
    """The settings that suit an architecture, to start from.

    The original's networks are trained from nothing: Adam at its usual rate, no change of the
    rate, and the best weights kept after two epochs without progress.
    """
    if architecture == "trunk":
        return TrainingSettings()
    return TrainingSettings(
        Architecture(architecture),
        epochs=30,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.0,
        label_smoothing=0.0,
        average=None,
        patience=2,
        freeze_batch_norm=False,
        augmentation=NONE,
    )


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Augmented batches; each is a function of the seed, the epoch and its number alone.

    Gives ``(n, height, width, 3)`` uint8 pictures and ``(n, K)`` float32 targets.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        answers: np.ndarray,
        draw: np.ndarray,
        settings: TrainingSettings,
        first_epoch: int = 0,
    ) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.pixels, self.answers, self.draw, self.settings = pixels, answers, draw, settings
        self.epoch = first_epoch
        self._order = self._draw_order()

    def __len__(self) -> int:
        return math.ceil(len(self.pixels) / self.settings.batch_size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        size = self.settings.batch_size
        chosen = self._order[number * size : (number + 1) * size]
        random = np.random.default_rng((self.settings.seed, self.epoch, number))
        pictures = [augment(self.pixels[i], self.settings.augmentation, random) for i in chosen]
        return np.stack(pictures), self.answers[chosen]

    def on_epoch_end(self) -> None:
        self.start_epoch(self.epoch + 1)

    def start_epoch(self, epoch: int) -> None:
        """Go to an epoch: what is drawn depends on its number, not on what ran before."""
        self.epoch = epoch
        self._order = self._draw_order()

    def _draw_order(self) -> np.ndarray:
        """Systematic sampling: each picture as often as ``draw`` says, in random order."""
        random = np.random.default_rng((self.settings.seed, self.epoch))
        shuffled = random.permutation(len(self.draw))
        edges = np.cumsum(self.draw[shuffled])
        steps = (np.arange(len(self.draw)) + random.random()) * (edges[-1] / len(self.draw))
        return random.permutation(shuffled[np.searchsorted(edges, steps, side="right")])


def draw_weights(items: Sequence[Item], balance: float, drawn_share: float = 0.03) -> np.ndarray:
    """How often each picture is drawn, relative to the others: ``(N,)`` float64.

    The weight of a picture is the count of its label within its source, to the power of
    ``-balance``: small classes and small shops are seen more often than their share. Drawings
    together make ``drawn_share`` of all draws, however many there are.
    """
    keys = [f"{item.label} {item.source}" for item in items]
    _, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
    weights: np.ndarray = count[inverse].astype(np.float64) ** -balance
    drawn = np.array([item.source == DRAWINGS for item in items])
    if drawn.any() and not drawn.all():
        total = weights[~drawn].sum()
        weights[drawn] *= drawn_share / (1 - drawn_share) * total / weights[drawn].sum()
    return weights


class Judge(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: loss and accuracy on the validation pictures, into the epoch's logs.

    Stands after the callback that swaps the averaged weights in and before those that act on
    ``val_loss``; logs one line with the time left.
    """

    def __init__(
        self, pictures: Pictures, decisions: Sequence[Decision], taxonomy: Taxonomy, epochs: int
    ) -> None:
        super().__init__()
        self.pictures, self.decisions, self.epochs = pictures, tuple(decisions), epochs
        self.answers = targets(pictures.items, decisions, taxonomy)
        self.started = time.monotonic()
        self.history: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {} if logs is None else logs
        if len(self.pictures):
            logits = logits_of(self.model, self.pictures.pixels)
            logs["val_loss"] = batch_loss(self.answers, logits, self.decisions)
            logs.update(accuracies(self.answers, logits, self.decisions))
        self.history.append({name: float(value) for name, value in logs.items()})
        done = len(self.history)
        left = (time.monotonic() - self.started) / done * (self.epochs - epoch - 1)
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


def accuracies(
    answers: np.ndarray, logits: np.ndarray, decisions: Sequence[Decision]
) -> dict[str, float]:
    """Each decision's accuracy where the answer is known, as ``val_accuracy/NODE``."""
    result = {}
    start = 0
    for decision in decisions:
        columns = slice(start, start + len(decision.outcomes))
        start = columns.stop
        known = answers[:, columns].sum(axis=1) == 1
        if known.any():
            right = answers[known, columns].argmax(1) == logits[known, columns].argmax(1)
            result[f"val_accuracy/{decision.node or 'primary'}"] = float(right.mean())
    return result


def logits_of(model: keras.Model, pixels: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """``(N, height, width, 3)`` uint8 pictures to ``(N, K)`` float32 logits, in batches."""
    answers = [
        keras.ops.convert_to_numpy(model.predict_on_batch(pixels[start : start + batch_size]))
        for start in range(0, len(pixels), batch_size)
    ]
    return np.concatenate(answers) if answers else np.zeros((0, model.output_shape[-1]), np.float32)


def train_network(
    train: Pictures,
    validation: Pictures,
    decisions: Sequence[Decision],
    taxonomy: Taxonomy,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train one network for ``decisions``; returns it with the figures of each epoch.

    With ``folder``, the state after each epoch is kept there and a killed run goes on from it.
    """
    keras.utils.set_random_seed(settings.seed)
    height, width = train.pixels.shape[1:3]
    model = build(settings.architecture, decisions, height, width, settings.seed)
    if settings.freeze_batch_norm:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    batches = TrainingBatches(
        train.pixels,
        targets(train.items, decisions, taxonomy),
        draw_weights(train.items, settings.balance),
        settings,
    )
    model.compile(
        optimizer=_optimizer(settings, len(batches)),
        loss=decision_loss(decisions, settings.label_smoothing),
        jit_compile=False,  # XLA on a CPU is many times slower for depthwise convolutions
    )
    judge = Judge(validation, decisions, taxonomy, settings.epochs)
    model.fit(
        batches,
        epochs=settings.epochs,
        verbose=0,
        callbacks=_callbacks(settings, batches, judge, folder, callbacks),
        shuffle=False,
    )
    return model, judge.history


def _optimizer(settings: TrainingSettings, steps: int) -> keras.optimizers.Optimizer:
    total = settings.epochs * steps
    rate: Any = settings.learning_rate
    if settings.schedule == "cosine":
        warm_up = min(steps, total // 10)
        rate = keras.optimizers.schedules.CosineDecay(
            settings.learning_rate / 20,
            decay_steps=max(1, total - warm_up),
            alpha=0.01,
            warmup_target=settings.learning_rate,
            warmup_steps=warm_up,
        )
    elif settings.schedule != "constant":
        raise ValueError(
            f"schedule: expected 'cosine' or 'constant', received {settings.schedule!r}"
        )
    return keras.optimizers.AdamW(
        rate,
        weight_decay=settings.weight_decay,
        use_ema=settings.average is not None,
        ema_momentum=settings.average or 0.99,
    )


class _StartEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the batches which epoch it is: after a resumed start it is not the first."""

    def __init__(self, batches: TrainingBatches) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.batches.epoch != epoch:
            self.batches.start_epoch(epoch)


def _callbacks(
    settings: TrainingSettings,
    batches: TrainingBatches,
    judge: Judge,
    folder: Path | None,
    more: Sequence[keras.callbacks.Callback],
) -> list[keras.callbacks.Callback]:
    """In order: what resumes sees the raw weights; what judges and keeps sees the averaged ones."""
    chain: list[keras.callbacks.Callback] = [_StartEpoch(batches)]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        chain.append(keras.callbacks.BackupAndRestore(folder / "state", delete_checkpoint=False))
    if settings.average is not None:
        chain.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    chain.append(judge)
    if settings.patience is not None:
        chain.append(
            keras.callbacks.EarlyStopping(
                "val_loss", patience=settings.patience, restore_best_weights=True
            )
        )
    if settings.limit_minutes is not None:
        chain.append(TimeLimit(settings.limit_minutes))
    if folder is not None:
        chain.append(
            keras.callbacks.ModelCheckpoint(folder / "latest.weights.h5", save_weights_only=True)
        )
        chain.append(keras.callbacks.CSVLogger(folder / "epochs.csv", append=True))
    chain.extend(more)
    return chain
