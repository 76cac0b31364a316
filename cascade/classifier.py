"""Labels batches of pictures with a loaded bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from cascade.projection import Projection
from cascade.routing import Prediction, Routing
from cascade.taxonomy import Taxonomy


@dataclass(frozen=True)
class Cascade:
    """A loaded cascade. Load it in the process that uses it, after any fork.

    ``backend`` is the runtime of the networks, with ``auto`` already resolved. With a
    ``projection``, the runners return features too, and predictions have a vector.
    """

    bundle: Bundle
    runners: Sequence[Runner]
    backend: str = TENSORFLOW
    projection: Projection | None = None

    @classmethod
    def load(
        cls,
        folder: str | Path = SHIPPED,
        warm_up: int = 1,
        *,
        backend: str = AUTO,
        threads: int = 0,
        features: bool = False,
    ) -> Cascade:
        """Load, verify and warm up a bundle.

        Args:
            folder: The bundle's folder; the shipped one by default.
            warm_up: Blank pictures to run once, so that the first batch is as fast as the rest.
            backend: One of ``cascade.backends.CHOICES``.
            threads: Threads of LiteRT or OpenVINO; 0 means one for each core.
            features: Give each prediction the vector of its picture.

        Raises:
            BundleError: The bundle or the backend cannot be used; the message says why.
        """
        bundle = Bundle.open(folder)
        chosen = choose_backend(bundle, backend)
        projection = Projection.open(bundle) if features else None
        networks = runners(bundle, chosen, threads, features=features)
        cascade = cls(bundle, networks, chosen, projection)
        if warm_up:
            size = bundle.preprocessing
            cascade.classify(np.full((warm_up, size.height, size.width, 3), 255, np.uint8))
        return cascade

    @property
    def version(self) -> str:
        """The model version: a hash of the files that determine the labels."""
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

    def best_batch_size(self, limit: int) -> int:
        """The batch size with the best throughput, at most ``limit``. Measured on a GPU."""
        if self.backend not in ON_TENSORFLOW or not has_gpu():
            return min(BATCH, limit)
        from cascade.backends.best_batch_size import best_batch_size
        from cascade.backends.tensorflow import out_of_memory_errors

        shape = (self.preprocessing.height, self.preprocessing.width, 3)
        # the first network sees every picture
        return best_batch_size(self.runners[0], shape, limit, out_of_memory=out_of_memory_errors())

    def classify(self, pixels: np.ndarray) -> list[Prediction]:
        """Label ``(N, height, width, 3)`` uint8 RGB pictures; N may be 0.

        A picture's label does not depend on the others in the batch. Raises ``ValueError`` for
        another shape or dtype.
        """
        if self.projection is None:
            return self.routing.label(self.logits(pixels))
        logits, vectors = self.logits_and_vectors(pixels)
        labelled = zip(self.routing.label(logits), vectors, strict=True)
        return [replace(found, vector=vector.tobytes()) for found, vector in labelled]

    def logits_and_vectors(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(N, K)`` float32 logits as of ``logits``, and ``(N, D)`` int8 vectors of the pictures.

        Raises ``ValueError`` if the cascade was loaded without features.
        """
        if self.projection is None:
            raise ValueError("expected a cascade that was loaded with features=True")
        self._check(pixels)
        if not len(pixels):
            return self.logits(pixels), self.projection.vectors(
                np.zeros((0, len(self.projection.middle)), np.float32)
            )
        answers, width = self.runners[0](pixels), self.bundle.decisions.width
        return np.ascontiguousarray(answers[:, :width]), self.projection.vectors(answers[:, width:])

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """``(N, K)`` float32 logits of all decisions, before calibration.

        A network of its own for a decision only runs on the pictures of the category above it. The
        logits of other pictures stay 0 there and are not used.
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
            answers = run(pixels if rows.size == len(pixels) else pixels[rows])
            for decision, columns in own.with_columns():
                result[rows, decisions.columns_of(decision)] = answers[:, columns]
        return result

    def _rows_for(self, node: str, logits: np.ndarray) -> np.ndarray:
        """The rows that a decision applies to: those whose predicted category contains its node."""
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
