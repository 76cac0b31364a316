"""Builds the networks of a cascade by name.

The input of a network is ``(N, height, width, 3)`` uint8 RGB. Its output is ``(N, K)`` float32
logits of one or more decisions, with the columns of their ``DecisionSet``.

- ``trunk``: a pretrained EfficientNet-Lite0 with a linear head for each decision.
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
    """The name and options of a network, as written into a bundle and a sweep's table."""

    name: str = "trunk"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shared(self) -> bool:
        """Whether one network serves all decisions."""
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
    """A trunk shared by a linear head for each decision.

    Args:
        decisions: The decisions of the heads.
        height: Of the input, in pixels.
        width: Of the input, in pixels.
        dropout: Share of features to drop in training.
        pretrained: Start from the ImageNet weights.
        frozen_blocks: If above 0, the stem and so many of the first blocks are not trained.
        blocks: Number of blocks, at most 16. With fewer, the heads use the averaged output of the
            last one.
        drop_path: Share of pictures for which training leaves out the last block; see
            ``efficientnet_lite0``.
        seed: Of the initial weights and of dropout.
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
    """The original project's network: two convolutions, each with max pooling, and a dense head.

    Args:
        decisions: The decisions of the head, usually one.
        height: Of the input, in pixels.
        width: Of the input, in pixels.
        filters: Of the first convolution.
        kernel: Size of the first convolution; the second has size 3.
        second_filters: Of the second convolution; defaults to ``filters``.
        dense: Units of the hidden layers (the original tried 512 and 1024).
        dropout: After each hidden layer.
        l2: Weight penalty of every kernel.
        seed: Of the initial weights and of dropout.
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
    """Build a network for ``decisions``. Raises ``ValueError`` for an unknown architecture."""
    builder = BUILDERS.get(architecture.name)
    if builder is None:
        raise ValueError(
            f"architecture: expected one of {', '.join(BUILDERS)}, received {architecture.name!r}"
        )
    return builder(decisions, height, width, seed=seed, **architecture.options)


def networks_of(architecture: Architecture, decisions: DecisionSet) -> list[DecisionSet]:
    """The decisions of each network: all in one for a trunk, otherwise one network for each."""
    if architecture.shared:
        return [decisions]
    return [DecisionSet([decision]) for decision in decisions]


def _side_by_side(logits: Sequence[Any]) -> Any:
    if len(logits) == 1:
        return logits[0]
    return keras.layers.Concatenate(name="logits")(logits)
