"""Provenance: what a training was made from, for a bundle's manifest and for resuming.

A run keeps a record beside its checkpoints, and resumes only with what it began with. A record of
an earlier version has fewer keys; only those that both know are compared, and the missing ones are
added.
"""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cascade.bundle import write_json
from cascade.data.dataset import Pictures, counts, fingerprint, fingerprint_in_order
from cascade.errors import DatasetError
from cascade.evaluation.evaluate import Evaluation
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from cascade.training.settings import TrainingSettings

# key of a record -> how a message calls it
NAMES = {
    "settings": "the settings",
    "fingerprint": "the training pictures",
    "order": "the orders or sources of the training pictures",
    "validation": "the validation pictures",
    "taxonomy": "the taxonomies",
    "preprocessing": "the picture sizes or backgrounds",
}


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


def data_record(
    train: Pictures, validation: Pictures, taxonomy: Taxonomy, preprocessing: Preprocessing
) -> dict[str, Any]:
    """What a run's result depends on beside its settings.

    The order of the training pictures decides the batches, their sources the weights, the order of
    the leaves the outputs. The test pictures change no network.
    """
    return {
        "fingerprint": fingerprint(train.items, train.pixels),
        "order": fingerprint_in_order(train.items, train.pixels),
        "validation": fingerprint(validation.items, validation.pixels),
        "taxonomy": {"leaves": taxonomy.leaves, "out_of_scope": taxonomy.out_of_scope},
        "preprocessing": {
            name: getattr(preprocessing, name) for name in ("width", "height", "background")
        },
    }


def check_same_run(path: Path, record: Mapping[str, Any], option: str) -> None:
    """Write the record to ``path``, or compare it with the one that is there.

    Args:
        path: The file in the run's folder.
        record: What the run is made from; JSON values.
        option: The option that names the folder, for the message.

    Raises:
        DatasetError: The folder holds another run, or its record cannot be read.
    """
    wanted: dict[str, Any] = json.loads(json.dumps(record))
    found = _read(path, option) if path.is_file() else {}
    differing = [
        _named(key, parts)
        for key in found
        if key in wanted and (parts := _differing_parts(found[key], wanted[key]))
    ]
    if differing:
        raise DatasetError(
            f"{path.parent}: holds another run: {' and '.join(differing)} differ; resume it with "
            f"those that it began with, name another folder with {option}, or remove it"
        )
    if found.keys() != wanted.keys():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted | found)


def _read(path: Path, option: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        found, cause = None, f": {error}"
    else:
        cause = ""
    if isinstance(found, dict):
        return found
    raise DatasetError(
        f"{path}: expected the record of a run as JSON{cause}; name another folder with {option}, "
        "or remove it"
    )


def _differing_parts(found: Any, wanted: Any) -> list[str]:
    """The differing keys of two mappings; [""] for other values that differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [key for key in found if key in wanted and found[key] != wanted[key]]
    return [] if found == wanted else [""]


def _named(key: str, parts: Sequence[str]) -> str:
    name = NAMES.get(key, f"the values of {key}")
    return f"{name} ({', '.join(parts)})" if key == "settings" else name
