"""Named experiments: the shipped network, and those of the original project.

The original trained one network a node: two convolutions with max pooling and a dense head. It
swept the filters and tried a second filter count, hidden dense layers, dropout and L2. It also
compared one network over gender and type (combined) with one for gender and then one for type
(hierarchical).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cascade.networks.architectures import Architecture
from cascade.training.settings import TrainingSettings, settings_for


@dataclass(frozen=True)
class Experiment:
    """An architecture with options and a form; other settings are the architecture's defaults."""

    architecture: str
    description: str
    options: Mapping[str, Any] = field(default_factory=dict)
    form: str = "combined"
    mix_probability: float | None = None  # None: the architecture's default


_TWO = "two_convolutions"
EXPERIMENTS: dict[str, Experiment] = {
    "trunk": Experiment("trunk", "pretrained trunk, a head for each decision, mixup and CutMix"),
    "trunk-plain": Experiment(
        "trunk",
        "the same without mixing and drop path; shipped as a mean of two",
        {"drop_path": 0.0},
        mix_probability=0.0,
    ),
    "student": Experiment(
        "trunk",
        "the trunk's first 11 blocks, a student for --teacher",
        {"blocks": 11, "drop_path": 0.0},
    ),
    "original": Experiment(_TWO, "64 filters of 3×3, twice", {"filters": 64, "kernel": 3}),
    "original-hierarchical": Experiment(
        _TWO,
        "the same, gender first, then type by gender",
        {"filters": 64, "kernel": 3},
        "hierarchical",
    ),
    "original-second-filters": Experiment(
        _TWO,
        "32 filters of 5×5, then 64 of 3×3",
        {"filters": 32, "kernel": 5, "second_filters": 64},
    ),
    "original-dense-512": Experiment(_TWO, "with a dense layer of 512", {"dense": [512]}),
    "original-dense-1024": Experiment(_TWO, "with a dense layer of 1024", {"dense": [1024]}),
    "original-dropout": Experiment(
        _TWO, "dense layer of 512 with dropout 0.5", {"dense": [512], "dropout": 0.5}
    ),
    "original-l2": Experiment(_TWO, "L2 weight penalty of 0.0005", {"l2": 5e-4}),
}


def experiment_settings(name: str) -> TrainingSettings:
    """The settings of an experiment. Raises ``ValueError`` for an unknown name."""
    found = EXPERIMENTS.get(name)
    if found is None:
        raise ValueError(f"experiment: expected one of {', '.join(EXPERIMENTS)}, received {name!r}")
    settings = settings_for(found.architecture)
    options = {**settings.architecture.options, **found.options}
    architecture = Architecture(found.architecture, options)
    settings = replace(settings, architecture=architecture, form=found.form)
    if found.mix_probability is not None:
        settings = replace(settings, mix_probability=found.mix_probability)
    if not settings.mix_probability:  # plain training has no low-rate epochs
        settings = replace(settings, low_rate_epochs=0)
    return settings


def description_line(name: str) -> str:
    """One line for ``train --list-experiments``."""
    return f"{name:26} {EXPERIMENTS[name].description}"
