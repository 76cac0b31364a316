"""The networks that a cascade is made of, by name.

A network answers one or more decisions. Its input is ``(N, height, width, 3)`` uint8 RGB; its
output ``(N, K)`` float32 logits, the outcomes of its decisions side by side, in order.

- ``trunk``: the pretrained EfficientNet-Lite0 shared by a linear head for each decision.
- ``two_convolutions``: the original project's network, one for each decision: two convolutions
  with max pooling and a dense head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from cascade.decisions import DecisionSet
from cascade.networks.efficientnet_lite import BLOCKS, efficientnet_lite0, load_imagenet_weights


@dataclass(frozen=True)
class Architecture:
    """A network by name with its settings, as written into a bundle and a sweep's table."""

    name: str = "trunk"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shared(self) -> bool:
        """Whether one network answers every decision."""
        return self.name == "trunk"

    @property
    def pretrained(self) -> bool:
        """Whether training starts from weights that are the same for every seed."""
        return self.name == "trunk" and bool(self.options.get("pretrained", True))


def build_trunk(
    decisions: DecisionSet,
    height: int,
    width: int,
    *,
    dropout: float = 0.2,
    pretrained: bool = True,
    frozen_blocks: int = 0,
    blocks: int = BLOCKS,
    drop_path: float = 0.0,
    seed: int = 0,
) -> keras.Model:
    """One pretrained trunk with a linear head for each decision.

    The stem and the first ``frozen_blocks`` of its 16 blocks keep their weights; above 0 only.
    With fewer ``blocks`` the trunk ends early, and the heads read the mean of what is there.
    ``dropout`` and ``drop_path`` (of whole blocks) are for training alone.
    """
    trunk = efficientnet_lite0(height, width, blocks, drop_path)
    if pretrained:
        load_imagenet_weights(trunk)
    frozen = {f"block{number}" for number in range(frozen_blocks)} | {"stem"}
    for layer in trunk.layers:
        if frozen_blocks and layer.name.split("_")[0] in frozen:
            layer.trainable = False
    features = keras.layers.Dropout(dropout, seed=seed, name="dropout")(trunk.output)  # (N, F)
    logits = [
        keras.layers.Dense(
            len(decision.outcomes),
            dtype="float32",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed + number),
            name=f"decide_{number}",
        )(features)
        for number, decision in enumerate(decisions)
    ]
    return keras.Model(trunk.input, _side_by_side(logits), name="trunk")


def build_two_convolutions(
    decisions: DecisionSet,
    height: int,
    width: int,
    *,
    filters: int = 64,
    kernel: int = 3,
    second_filters: int | None = None,
    dense: Sequence[int] = (),
    dropout: float = 0.0,
    l2: float = 0.0,
    seed: int = 0,
) -> keras.Model:
    """The original's network: convolution (F, k), pooling, convolution (F2, 3), pooling, dense.

    ``second_filters`` defaults to ``filters``; ``dense`` lists hidden layers (the original tried
    512 and 1024), each followed by ``dropout``; ``l2`` is the weight penalty of every kernel.
    """
    penalty = keras.regularizers.L2(l2) if l2 else None

    def initializer(number: int) -> Any:
        return keras.initializers.GlorotUniform(seed=seed + number)

    inputs = keras.Input((height, width, 3), dtype="uint8", name="pictures")
    x = keras.layers.Rescaling(1 / 255, name="rescale")(inputs)
    for number, (count, size) in enumerate(((filters, kernel), (second_filters or filters, 3))):
        x = keras.layers.Conv2D(
            count,
            size,
            activation="relu",
            kernel_regularizer=penalty,
            kernel_initializer=initializer(number),
            name=f"convolution{number}",
        )(x)
        x = keras.layers.MaxPooling2D(name=f"pooling{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for number, units in enumerate(dense):
        x = keras.layers.Dense(
            units,
            activation="relu",
            kernel_regularizer=penalty,
            kernel_initializer=initializer(10 + number),
            name=f"dense{number}",
        )(x)
        x = keras.layers.Dropout(dropout, seed=seed + number, name=f"dropout{number}")(x)
    logits = [
        keras.layers.Dense(
            len(decision.outcomes),
            dtype="float32",
            kernel_initializer=initializer(100 + number),
            name=f"decide_{number}",
        )(x)
        for number, decision in enumerate(decisions)
    ]
    return keras.Model(inputs, _side_by_side(logits), name="two_convolutions")


BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "trunk": build_trunk,
    "two_convolutions": build_two_convolutions,
}


def build(
    architecture: Architecture,
    decisions: DecisionSet,
    height: int,
    width: int,
    seed: int = 0,
) -> keras.Model:
    """Build one network for ``decisions``. Raises ``ValueError`` for a name that is none."""
    builder = BUILDERS.get(architecture.name)
    if builder is None:
        raise ValueError(
            f"architecture: expected one of {', '.join(BUILDERS)}, received {architecture.name!r}"
        )
    return builder(decisions, height, width, seed=seed, **architecture.options)


def networks_of(architecture: Architecture, decisions: DecisionSet) -> list[DecisionSet]:
    """Which decisions share a network: all of them for a trunk, each its own otherwise."""
    if architecture.shared:
        return [decisions]
    return [DecisionSet([decision]) for decision in decisions]


def _side_by_side(logits: Sequence[Any]) -> Any:
    if len(logits) == 1:
        return logits[0]
    return keras.layers.Concatenate(name="logits")(logits)
