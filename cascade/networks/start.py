"""Start a training from the weights of a bundle instead of the ImageNet weights.

Layers are found by their names. A shorter trunk takes those that it has, and a head is taken where
its features and outcomes are as many: so a student may start from the first blocks of its teacher.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from cascade.errors import BundleError
from cascade.networks.heads import HEAD

StartWeights = Mapping[str, np.ndarray]  # the path of a variable -> its value, float32


def start_weights(model: keras.Model) -> StartWeights:
    """The weights of a network by the paths of its variables."""
    return {each.path: keras.ops.convert_to_numpy(each) for each in model.weights}


def load_start(model: keras.Model, weights: StartWeights) -> None:
    """Give a network the weights of the layers that both have.

    Raises ``BundleError`` if a layer below the heads is missing or has another shape.
    """
    for variable in model.weights:
        if "seed_generator" in variable.path:
            continue
        found = weights.get(variable.path)
        if found is not None and found.shape == tuple(variable.shape):
            variable.assign(found)
        elif not variable.path.startswith(HEAD):
            raise BundleError(
                f"--start-from: expected weights of {variable.path} with the shape "
                f"{tuple(variable.shape)}, received {None if found is None else found.shape}; take "
                "a bundle of the same trunk with as many blocks or more"
            )
