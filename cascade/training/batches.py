"""Training batches: weighted sampling, augmentation and mixing, reproducible from the seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from cascade.data.dataset import DRAWINGS, Item
from cascade.training.augmentation import augment
from cascade.training.mixup import mix
from cascade.training.settings import TrainingSettings

# (n, height, width, 3) uint8 -> (n, K) float32 soft labels: probabilities of the outcomes
Teacher = Callable[[np.ndarray], np.ndarray]
# soft labels and the outcomes that fit, both (n, K) -> soft labels
Correction = Callable[[np.ndarray, np.ndarray], np.ndarray]


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Augmented batches. Each depends only on the seed, the epoch and its number.

    A batch is ``(n, height, width, 3)`` uint8 pictures and the float32 targets that
    ``losses.training_loss`` describes.

    Args:
        pixels: ``(N, height, width, 3)`` uint8 training pictures.
        targets: ``(N, K)`` float32.
        weights: ``(N,)`` relative sampling weights.
        settings: The training settings.
        first_epoch: Epoch to start with, counted from 0.
        soft_labels: A teacher to ask about each batch as it is shown, or ``(N, K)`` soft labels
            computed before, or None.
        teacher_pixels: ``(N, H, W, 3)`` uint8, the same pictures at the teacher's input size, which
            it is shown with the same random changes; None if it has the network's size.
        correct: Changes a teacher's ``(n, K)`` answers, given the ``(n, K)`` outcomes that fit the
            label of the picture or of the one mixed into it; None leaves them.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        settings: TrainingSettings,
        first_epoch: int = 0,
        *,
        soft_labels: Teacher | np.ndarray | None = None,
        teacher_pixels: np.ndarray | None = None,
        correct: Correction | None = None,
    ) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.pixels, self.targets, self.weights, self.settings = pixels, targets, weights, settings
        self.epoch, self.soft_labels = first_epoch, soft_labels
        self.teacher_pixels, self.correct = teacher_pixels, correct
        self._order = self._sample()

    def __len__(self) -> int:
        return math.ceil(len(self.pixels) / self.settings.batch_size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        size = self.settings.batch_size
        chosen = self._order[number * size : (number + 1) * size]
        shown, partners, share = self._shown(self.pixels, chosen, number)
        targets = [self.targets[chosen]]
        if self.settings.mix_probability:  # also in low-rate epochs: the targets keep their columns
            targets += [self.targets[chosen[partners]], share[:, None]]
        if isinstance(self.soft_labels, np.ndarray):
            first, second = self.soft_labels[chosen], self.soft_labels[chosen[partners]]
            targets.append(share[:, None] * first + (1 - share[:, None]) * second)
        elif self.soft_labels is not None:
            seen = shown
            if self.teacher_pixels is not None:
                seen, _, _ = self._shown(self.teacher_pixels, chosen, number)
            answers = self.soft_labels(seen)
            if self.correct is not None:
                mixed_in = self.targets[chosen[partners]] * (share[:, None] < 1)
                answers = self.correct(answers, np.maximum(targets[0], mixed_in))
            targets.append(answers)
        return shown, np.concatenate(targets, axis=1, dtype=np.float32)

    def _shown(
        self, pixels: np.ndarray, chosen: np.ndarray, number: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The batch as it is shown, with the partners and shares of ``mix``.

        The random numbers and what they change do not depend on the size of the pictures.
        """
        random = np.random.default_rng((self.settings.seed, self.epoch, number))
        low_rate = self.epoch >= self.settings.epochs
        shown = np.stack([self._augmented(pixels[i], random, low_rate) for i in chosen])
        if self.settings.mix_probability:
            return mix(shown, 0.0 if low_rate else self.settings.mix_probability, random)
        return shown, np.arange(len(chosen)), np.ones(len(chosen), np.float32)

    def _augmented(
        self, pixels: np.ndarray, random: np.random.Generator, low_rate: bool
    ) -> np.ndarray:
        if not low_rate or random.random() < 0.5:
            return augment(pixels, self.settings.augmentation, random)
        mirrored = random.random() < self.settings.augmentation.mirror
        return pixels[:, ::-1] if mirrored else pixels

    def on_epoch_end(self) -> None:
        self.start_epoch(self.epoch + 1)

    def start_epoch(self, epoch: int) -> None:
        """Go to an epoch. Its samples depend on its number, not on earlier epochs."""
        self.epoch = epoch
        self._order = self._sample()

    def _sample(self) -> np.ndarray:
        """Systematic sampling: each picture in proportion to its weight, in random order."""
        random = np.random.default_rng((self.settings.seed, self.epoch))
        shuffled = random.permutation(len(self.weights))
        edges = np.cumsum(self.weights[shuffled])
        steps = (np.arange(len(self.weights)) + random.random()) * (edges[-1] / len(self.weights))
        return random.permutation(shuffled[np.searchsorted(edges, steps, side="right")])


def sampling_weights(
    items: Sequence[Item], balance: float, drawings_share: float = 0.03
) -> np.ndarray:
    """Relative sampling weight of each picture, ``(N,)`` float64.

    The weight is the count of the picture's label within its source, to the power of ``-balance``:
    small classes and small shops are oversampled. Drawings together get ``drawings_share`` of all
    samples, however many there are.
    """
    keys = [f"{item.label} {item.source}" for item in items]
    _, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
    weights: np.ndarray = count[inverse].astype(np.float64) ** -balance
    drawings = np.array([item.source == DRAWINGS for item in items])
    if drawings.any() and not drawings.all():
        total = weights[~drawings].sum()
        weights[drawings] *= drawings_share / (1 - drawings_share) * total / weights[drawings].sum()
    return weights
