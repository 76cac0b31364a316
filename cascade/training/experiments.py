"""Networks and settings by name: the shipped kind, and the original project's experiments.

The original trained, for each node, two convolutions with max pooling and a dense head, swept the
filters, and tried a second filter count, hidden dense layers, dropout and L2; and it compared one
network over gender and type (combined) with one for gender and one for type by gender.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cascade.networks.architectures import Architecture
from cascade.training.settings import TrainingSettings, settings_for


@dataclass(frozen=True)
class Experiment:
    """A network's name and options, and the form of the cascade; the rest is as usual for it."""

    architecture: str
    says: str
    options: Mapping[str, Any] = field(default_factory=dict)
    form: str = "combined"
    mix: float | None = None  # None: as usual for the architecture


_TWO = "two_convolutions"
EXPERIMENTS: dict[str, Experiment] = {
    "trunk": Experiment("trunk", "pretrained trunk with a head for each decision, pictures mixed"),
    "trunk-plain": Experiment(
        "trunk",
        "the same, nothing mixed or dropped; ships as a mean of two",
        {"drop_path": 0.0},
        mix=0.0,
    ),
    "student": Experiment("trunk", "the trunk's first 11 blocks; for --teacher", {"blocks": 11}),
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
        _TWO, "dense layer of 512 with half dropped", {"dense": [512], "dropout": 0.5}
    ),
    "original-l2": Experiment(_TWO, "weight penalty of 0.0005", {"l2": 5e-4}),
}


def experiment_settings(name: str) -> TrainingSettings:
    """The settings of an experiment. Raises ``ValueError`` for a name that is none."""
    found = EXPERIMENTS.get(name)
    if found is None:
        raise ValueError(f"experiment: expected one of {', '.join(EXPERIMENTS)}, received {name!r}")
    settings = settings_for(found.architecture)
    options = {**settings.architecture.options, **found.options}
    architecture = Architecture(found.architecture, options)
    mix = settings.mix if found.mix is None else found.mix
    settle = settings.settle if mix else 0  # plain is plain
    return replace(settings, architecture=architecture, form=found.form, mix=mix, settle=settle)


def described(name: str) -> str:
    """One line for a person."""
    return f"{name:26} {EXPERIMENTS[name].says}"
