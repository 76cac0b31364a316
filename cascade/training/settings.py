"""What a training run depends on, beside the pictures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from cascade.networks.architectures import Architecture
from cascade.training.augmentation import NONE, Augmentation

ORIGINAL_PATIENCE = 2


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that a training run depends on, beside the pictures; written into the bundle.

    ``balance`` is how far small classes are drawn more often: 0 not at all, 1 every class equally
    often. ``average`` is the momentum of the averaged weights that are kept (None: the last ones).
    ``patience`` stops after so many epochs without a better validation loss and keeps the best
    epoch's weights (None: all epochs are trained and the last one's weights kept).
    ``mix`` is the share of pictures that are blended with another or have a part of it pasted in.
    ``settle`` epochs come after all others, at a twentieth of the rate: nothing is mixed then, and
    every second picture is shown as it will be served, at most mirrored. Changed pictures are all
    resampled, so a network that saw no others is worse on the sharper ones that it is for (compare
    Touvron et al. 2019, *Fixing the train-test resolution discrepancy*).
    ``runs`` trainings, from seeds that follow on one another, are averaged weight by weight
    (``cascade.training.model_soup``).
    ``teachers`` are the versions of the models whose answers are learnt beside the labels, and
    ``teacher_share`` their share of the loss.
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
    mix: float = 0.0
    settle: int = 0
    runs: int = 1
    seed: int = 2026
    limit_minutes: float | None = None
    teachers: tuple[str, ...] = ()
    teacher_share: float = 0.5

    @property
    def all_epochs(self) -> int:
        return self.epochs + self.settle

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return result


def settings_for(architecture: str) -> TrainingSettings:
    """The settings that suit an architecture, to start from.

    The original's networks are trained from nothing: Adam at its usual rate, no change of the
    rate, and the best weights kept after two epochs without progress.
    """
    if architecture == "trunk":
        return TrainingSettings(Architecture("trunk", {"drop_path": 0.1}), mix=0.5, settle=3)
    return TrainingSettings(
        Architecture(architecture),
        epochs=30,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.0,
        label_smoothing=0.0,
        average=None,
        patience=ORIGINAL_PATIENCE,
        freeze_batch_norm=False,
        augmentation=NONE,
    )
