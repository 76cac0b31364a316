"""Which pictures a training step sees: drawn by weight, changed at random, the same every time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from cascade.data.dataset import DRAWINGS, Item
from cascade.training.augmentation import augment
from cascade.training.mixup import mix
from cascade.training.settings import TrainingSettings

# (n, height, width, 3) uint8 -> (n, K) float32 probabilities of each decision's outcomes
Teach = Callable[[np.ndarray], np.ndarray]


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Augmented batches; each is a function of the seed, the epoch and its number alone.

    Gives ``(n, height, width, 3)`` uint8 pictures and the float32 targets of
    ``losses.training_loss``: those in ``answers``, where pictures are mixed their partners' and
    their own share, and what a teacher says. ``teach`` is asked about the pictures as they are
    shown, or is an array of what was said of each before.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        answers: np.ndarray,
        draw: np.ndarray,
        settings: TrainingSettings,
        first_epoch: int = 0,
        *,
        teach: Teach | np.ndarray | None = None,
    ) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.pixels, self.answers, self.draw, self.settings = pixels, answers, draw, settings
        self.epoch, self.teach = first_epoch, teach
        self._order = self._draw_order()

    def __len__(self) -> int:
        return math.ceil(len(self.pixels) / self.settings.batch_size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        size = self.settings.batch_size
        chosen = self._order[number * size : (number + 1) * size]
        random = np.random.default_rng((self.settings.seed, self.epoch, number))
        settling = self.epoch >= self.settings.epochs
        pictures = [self._shown(self.pixels[i], random, settling) for i in chosen]
        shown, partners, own = np.stack(pictures), np.arange(len(chosen)), np.ones(len(chosen))
        answers = [self.answers[chosen]]
        if self.settings.mix:  # while settling, too, so that the targets keep their form
            shown, partners, own = mix(shown, 0.0 if settling else self.settings.mix, random)
            answers += [self.answers[chosen[partners]], own[:, None]]
        if isinstance(self.teach, np.ndarray):
            first, second = self.teach[chosen], self.teach[chosen[partners]]
            answers.append(own[:, None] * first + (1 - own[:, None]) * second)
        elif self.teach is not None:
            answers.append(self.teach(shown))
        return shown, np.concatenate(answers, axis=1, dtype=np.float32)

    def _shown(self, pixels: np.ndarray, random: np.random.Generator, settling: bool) -> np.ndarray:
        if not settling or random.random() < 0.5:
            return augment(pixels, self.settings.augmentation, random)
        mirrored = random.random() < self.settings.augmentation.mirror
        return pixels[:, ::-1] if mirrored else pixels

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
