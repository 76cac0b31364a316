"""The features of a network: the pooled numbers that its heads decide by.

Only a network that pools its picture and has one linear head for each decision can be adapted, as
the trunk of ``cascade.networks.architectures`` does. Pooled features have no place any more, so no
picture can be rebuilt from them.
"""

from __future__ import annotations

import keras
import numpy as np

from cascade.backends.tensorflow import keras_runner
from cascade.bundle import Bundle
from cascade.chunks import chunks
from cascade.errors import BundleError
from cascade.networks.heads import adaptable, heads_of
from cascade.networks.serialisation import read_network

BATCH = 128


def read_adaptable(bundle: Bundle) -> keras.Model:
    """The network of a bundle.

    Raises:
        BundleError: It has several networks, or one without pooled features.
    """
    if len(bundle.decisions_of_network) == 1:
        model = read_network(bundle.folder, 0)
        if adaptable(model):
            return model
    raise BundleError(
        f"{bundle.folder}: expected one network for all decisions, with pooled features and a "
        "linear head for each decision; only such a bundle can be adapted: train one with "
        "--experiment trunk"
    )


def head_weights(model: keras.Model) -> np.ndarray:
    """``(F + 1, K)`` float32: the heads' kernels side by side, and their biases in the last row."""
    pairs = [head.get_weights() for head in heads_of(model)]
    kernels = np.concatenate([kernel for kernel, _ in pairs], axis=1)
    return np.vstack([kernels, np.concatenate([bias for _, bias in pairs])]).astype(np.float32)


def set_head_weights(model: keras.Model, weights: np.ndarray) -> None:
    """Give the heads the weights of an array as ``head_weights`` returns it."""
    start = 0
    for head in heads_of(model):
        columns = slice(start, start + head.units)
        head.set_weights([weights[:-1, columns], weights[-1, columns]])
        start += head.units


def features_of(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """``(N, height, width, 3)`` uint8 pictures to ``(N, F)`` float32 features of ``model``."""
    inputs = heads_of(model)[0].input
    if not len(pixels):
        return np.zeros((0, inputs.shape[-1]), np.float32)
    run = keras_runner(keras.Model(model.input, inputs))
    return np.concatenate(
        [run(np.ascontiguousarray(pixels[part])) for part in chunks(len(pixels), BATCH)]
    )
