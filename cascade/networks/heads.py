"""The heads of a network: one linear layer for each decision, over the same pooled features."""

from __future__ import annotations

import keras

HEAD = "decide_"  # the name of a head's layer begins so


def heads_of(model: keras.Model) -> list[keras.layers.Dense]:
    """The layers of the heads, in the order of the decisions."""
    return [layer for layer in model.layers if layer.name.startswith(HEAD)]


def adaptable(model: keras.Model) -> bool:
    """Whether a network pools its pictures and ends with linear heads over the same numbers."""
    heads = heads_of(model)
    pooled = any(isinstance(each, keras.layers.GlobalAveragePooling2D) for each in model.layers)
    flat = any(isinstance(each, keras.layers.Flatten) for each in model.layers)
    return pooled and not flat and bool(heads) and len({id(head.input) for head in heads}) == 1


def with_features(model: keras.Model) -> keras.Model:
    """The same network with ``(N, K + F)`` float32 outputs: logits, and the features beside them.

    ``model`` is ``adaptable``.
    """
    joined = keras.layers.Concatenate(dtype="float32", name="logits_and_features")
    return keras.Model(model.input, joined([model.output, heads_of(model)[0].input]))
