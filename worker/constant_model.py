"""A model that gives every picture the same label: ``--model constant:LABEL``.

Use it to try the queue and the catalogue without networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from worker.errors import ModelUnusable
from worker.model_loader import label_entries

if TYPE_CHECKING:
    import numpy as np

    from cascade.pictures.decode import Preprocessing
    from cascade.routing import Prediction
    from db.records import LabelEntry


class ConstantModel:
    """Gives every picture one label of the shipped taxonomy, with confidence 1.

    Raises:
        ModelUnusable: `label` is not a leaf of the shipped taxonomy, or vectors are wanted.
    """

    def __init__(self, label: str, *, features: bool = False) -> None:
        from cascade.taxonomy import Taxonomy

        if features:
            raise ModelUnusable(
                f"constant:{label}: has no vectors of pictures; name a bundle, or unset features"
            )
        self._taxonomy = Taxonomy.load()
        if label not in self._taxonomy.leaves:
            raise ModelUnusable(
                f"constant:{label}: expected a leaf of the taxonomy, such as "
                f"constant:{self._taxonomy.leaves[0]}; see 'fashion-cascade taxonomy --leaves'"
            )
        self._label = label
        self.backend = "constant"
        self.source = f"constant:{label}"
        self.version = "constant-" + hashlib.sha256(label.encode()).hexdigest()[:16]

    @property
    def preprocessing(self) -> Preprocessing:
        """The default preprocessing."""
        from cascade.pictures.decode import Preprocessing

        return Preprocessing()

    def labels(self) -> list[LabelEntry]:
        """The nodes of the shipped taxonomy."""
        return label_entries(self._taxonomy)

    def figures(self) -> dict[str, object]:
        """No figures: nothing was measured."""
        return {}

    def backend_digests(self) -> dict[str, str]:
        """None: there are no files."""
        return {}

    def feature_digest(self) -> str | None:
        """None: it looks at no picture."""
        return None

    def load(self) -> None:
        """Do nothing: there are no networks."""

    def batch_size(self, most: int) -> int:
        """The batch size of a CPU, at most `most`."""
        from cascade.backends import BATCH

        return min(BATCH, most)

    def classify(self, pixels: np.ndarray) -> Sequence[Prediction]:
        """The constant label for each of (N, height, width, 3) pictures."""
        from cascade.routing import Prediction

        levels = self._taxonomy.levels(self._label)
        confidences = {name: None if levels[name] is None else 1.0 for name in ("gender", "type")}
        prediction = Prediction(
            label=self._label,
            best_leaf=self._label,
            category=levels["category"],
            gender=levels["gender"],
            type=levels["type"],
            category_confidence=1.0,
            gender_confidence=confidences["gender"],
            type_confidence=confidences["type"],
            confidence=1.0,
            margin=1.0,
            needs_review=False,
            best_leaf_confidence=1.0,
            second_leaf=None,
            second_leaf_confidence=None,
            leaf_probabilities={self._label: 1.0},
        )
        return [replace(prediction) for _ in range(len(pixels))]
