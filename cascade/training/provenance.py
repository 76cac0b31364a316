"""Provenance: what a bundle's manifest records of its training."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cascade.data.dataset import Pictures, counts, fingerprint
from cascade.evaluation.evaluate import Evaluation
from cascade.training.settings import TrainingSettings


def training_record(
    train: Pictures,
    settings: TrainingSettings,
    facts: Mapping[str, Any],
    networks: int,
    precision: float,
) -> dict[str, Any]:
    """The manifest's ``training``. ``facts`` (minutes, epochs, …) are added unchanged."""
    sources = Counter(item.source for item in train.items)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} × {platform.machine()}, {platform.system()}",
        "settings": settings.to_json(),
        "networks": networks,
        "precision": precision,
        "fingerprint": fingerprint(train.items, train.pixels),
        "pictures": counts(train.items),
        "sources": dict(sorted(sources.items())),
        **facts,
    }


def short_figures(evaluation: Evaluation) -> dict[str, Any]:
    """The manifest's ``figures``: an evaluation without matrices and curves."""
    full = evaluation.to_json()
    return {name: full[name] for name in ("pictures", "partly_known", "rates", "numbers")}
