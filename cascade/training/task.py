"""What one network is trained on: its pictures, its decisions, and optionally a teacher."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cascade.data import dataset
from cascade.data.dataset import Pictures
from cascade.decisions import DecisionSet
from cascade.errors import DatasetError
from cascade.networks.start import StartWeights
from cascade.taxonomy import Taxonomy
from cascade.training.batches import Teacher


@dataclass(frozen=True)
class TrainingTask:
    """Training and validation pictures of one network that answers ``decisions``.

    ``teacher`` gives soft labels for training pictures as they are shown, augmented and mixed. It
    is ignored where ``train.soft_labels`` were computed before. ``start`` are weights to start from
    (``cascade.networks.start``).
    """

    train: Pictures
    validation: Pictures
    decisions: DecisionSet
    taxonomy: Taxonomy
    teacher: Teacher | None = None
    start: StartWeights | None = None

    def targets(self, pictures: Pictures) -> np.ndarray:
        """``(N, K)`` float32 targets of the decisions, see ``cascade.data.dataset.targets``."""
        return dataset.targets(pictures.items, self.decisions, self.taxonomy)

    def relevant(self) -> TrainingTask:
        """The same task with only the pictures that at least one decision applies to."""
        return replace(
            self, train=self._relevant(self.train), validation=self._relevant(self.validation)
        )

    def _relevant(self, pictures: Pictures) -> Pictures:
        rows = self.targets(pictures).sum(axis=1) > 0
        return pictures if rows.all() else pictures.subset(rows)

    def check_outcomes(self) -> None:
        """Raise ``DatasetError`` if an outcome has no training picture."""
        totals = self.targets(self.train).sum(axis=0)
        names = self.decisions.outcomes
        missing = [name for name, total in zip(names, totals, strict=True) if not total]
        if missing:
            raise DatasetError(
                f"no training picture for {', '.join(missing)}; add some, or train with a taxonomy "
                "that does not have them (--taxonomy)"
            )
