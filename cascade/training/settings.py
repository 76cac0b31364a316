"""Training settings: everything a training run depends on besides the pictures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from cascade.networks.architectures import Architecture
from cascade.training.augmentation import NO_AUGMENTATION, Augmentation

ORIGINAL_PATIENCE = 2
# Field name -> its key in files: ``training.settings`` of manifest.json and ``run.json``.
FILE_KEYS = {
    "ema_momentum": "average",
    "mix_probability": "mix",
    "low_rate_epochs": "settle",
    "distillation_weight": "teacher_share",
    # of Augmentation
    "background": "ground",
    "colour_jitter": "colour",
    "greyscale": "grey",
}


@dataclass(frozen=True)
class TrainingSettings:
    """Everything a training run depends on besides the pictures. Stored in the bundle's manifest.

    Attributes:
        form: ``combined`` or ``hierarchical``, see ``Taxonomy.decisions``.
        epochs: Epochs before the low-rate final epochs.
        schedule: Learning rate schedule, ``cosine`` or ``constant``.
        balance: How strongly small classes are oversampled: 0 not at all, 1 makes every class
            equally frequent.
        ema_momentum: Momentum of the exponential moving average of the weights, which becomes the
            network. None keeps the last weights.
        patience: Early stopping: stop after this many epochs without a better validation loss and
            keep the weights of the best epoch. None trains all epochs and keeps the last.
        mix_probability: Share of the pictures that mixup or CutMix changes.
        low_rate_epochs: Final epochs at a twentieth of the learning rate, without mixing, in which
            half of the pictures are shown as inference sees them, at most mirrored. Augmentation
            resamples every picture, so a network that saw only augmented ones is worse on the
            sharper originals (compare Touvron et al. 2019, *Fixing the train-test resolution
            discrepancy*).
        runs: Number of trainings, from consecutive seeds, whose weights are averaged
            (``cascade.training.model_soup``).
        limit_minutes: Time limit; training stops after the last epoch that fits.
        teachers: Model versions of the teachers (``cascade.training.distillation``).
        distillation_weight: Share of the loss that comes from the teachers' soft labels, 0 to 1.
        head_only: Whether only the heads are fitted, to features of a trunk that is not trained
            (``cascade.adaptation.head_only``).
        teacher_views: Whether teachers of another input size answer for each picture as shown, at
            their own size, instead of once for each original.
        start_from: Version of the bundle whose weights training starts from.
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
    ema_momentum: float | None = 0.998
    patience: int | None = None
    freeze_batch_norm: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    mix_probability: float = 0.0
    low_rate_epochs: int = 0
    runs: int = 1
    seed: int = 2026
    limit_minutes: float | None = None
    teachers: tuple[str, ...] = ()
    distillation_weight: float = 0.5
    head_only: bool = False
    teacher_views: bool = False
    start_from: str | None = None

    @property
    def total_epochs(self) -> int:
        return self.epochs + self.low_rate_epochs

    def to_json(self) -> dict[str, Any]:
        """The settings under the keys that files use (``FILE_KEYS``)."""
        content = asdict(self, dict_factory=_with_file_keys)
        result: dict[str, Any] = json.loads(json.dumps(content))
        return result


def _with_file_keys(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {FILE_KEYS.get(name, name): value for name, value in fields}


def settings_for(architecture: str) -> TrainingSettings:
    """Default settings of an architecture.

    The original's networks start from random weights: Adam at its default learning rate, constant,
    and early stopping after two epochs without a better validation loss.
    """
    if architecture == "trunk":
        return TrainingSettings(
            Architecture("trunk", {"drop_path": 0.1}), mix_probability=0.5, low_rate_epochs=3
        )
    return TrainingSettings(
        Architecture(architecture),
        epochs=30,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.0,
        label_smoothing=0.0,
        ema_momentum=None,
        patience=ORIGINAL_PATIENCE,
        freeze_batch_norm=False,
        augmentation=NO_AUGMENTATION,
    )
