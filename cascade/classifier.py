"""The cascade as a worker uses it: a batch of pictures in, a label for each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cascade.backends import (
    AUTO,
    BATCH,
    ON_TENSORFLOW,
    TENSORFLOW,
    Runner,
    choose_backend,
    has_gpu,
    runners,
)
from cascade.bundle import SHIPPED, Bundle
from cascade.pictures.decode import Preprocessing
from cascade.routing import Prediction, Routing
from cascade.taxonomy import Taxonomy


@dataclass(frozen=True)
class Cascade:
    """A loaded cascade. Load it in the process that uses it, after any fork.

    ``backend`` is the runtime that the networks run in; ``auto`` is never its value.
    """

    bundle: Bundle
    runners: Sequence[Runner]
    backend: str = TENSORFLOW

    @classmethod
    def load(
        cls,
        folder: str | Path = SHIPPED,
        warm_up: int = 1,
        *,
        backend: str = AUTO,
        threads: int = 0,
    ) -> Cascade:
        """Load, verify and warm a bundle. Raises ``BundleError`` saying what is wrong with it.

        ``warm_up`` pictures are run once, so that the first real batch is as quick as the rest.
        ``backend`` is one of ``cascade.backends.CHOICES``; ``threads`` bounds those of LiteRT, 0
        takes one for each core.
        """
        bundle = Bundle.open(folder)
        chosen = choose_backend(bundle, backend)
        cascade = cls(bundle, runners(bundle, chosen, threads), chosen)
        if warm_up:
            size = bundle.preprocessing
            cascade.classify(np.full((warm_up, size.height, size.width, 3), 255, np.uint8))
        return cascade

    @property
    def version(self) -> str:
        """The model version: a hash of the bundle's content."""
        return self.bundle.version

    @property
    def taxonomy(self) -> Taxonomy:
        return self.bundle.taxonomy

    @property
    def preprocessing(self) -> Preprocessing:
        return self.bundle.preprocessing

    @property
    def routing(self) -> Routing:
        return self.bundle.routing

    def best_batch_size(self, most: int) -> int:
        """Pictures at once, at most ``most``: on a GPU as many as a short measurement says pay."""
        if self.backend not in ON_TENSORFLOW or not has_gpu():
            return min(BATCH, most)
        from cascade.backends.best_batch_size import best_batch_size
        from cascade.backends.tensorflow import out_of_memory_errors

        shape = (self.preprocessing.height, self.preprocessing.width, 3)
        # the first network sees every picture
        return best_batch_size(self.runners[0], shape, most, out_of_memory=out_of_memory_errors())

    def classify(self, pixels: np.ndarray) -> list[Prediction]:
        """Label ``(N, height, width, 3)`` uint8 RGB pictures; N may be 0.

        Raises ``ValueError`` for another shape or dtype. The answer for a picture does not depend
        on the others in the batch.
        """
        return self.routing.label(self.logits(pixels))

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """``(N, K)`` float32: every decision's logits side by side, before calibration.

        A network that is not shared sees only the pictures that the primary one sent below its
        node; the logits of the others stay 0 there and are never looked at.
        """
        self._check(pixels)
        decisions = self.bundle.decisions
        result = np.zeros((len(pixels), decisions.width), np.float32)
        if not len(pixels):
            return result
        for run, own in zip(self.runners, self.bundle.decisions_of_network, strict=True):
            rows = self._rows_for(own[0].node, result)
            if not rows.size:
                continue
            everything = rows.size == len(pixels)
            answers = run(pixels if everything else pixels[rows])
            for decision, columns in own.with_columns():
                result[rows, decisions.columns_of(decision)] = answers[:, columns]
        return result

    def _rows_for(self, node: str, logits: np.ndarray) -> np.ndarray:
        """Which pictures a decision concerns: those whose primary answer lies above its node."""
        if not node:
            return np.arange(len(logits))
        primary = self.routing.decisions[0]
        category = primary.outcomes.index(self.taxonomy.category(node))
        chosen = logits[:, self.routing.decisions.columns[0]].argmax(axis=1)
        return np.flatnonzero(chosen == category)

    def _check(self, pixels: np.ndarray) -> None:
        shape = (self.preprocessing.height, self.preprocessing.width, 3)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != shape:
            raise ValueError(
                f"pixels: expected (N, {shape[0]}, {shape[1]}, 3) uint8, "
                f"received {pixels.shape} {pixels.dtype}"
            )
