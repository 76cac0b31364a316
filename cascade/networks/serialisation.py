"""Reads and writes the networks of a bundle: layers as JSON, weights as plain arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cascade.errors import BundleError

# The layers that a network may have. None of them can contain code. (Lambda can.)
ALLOWED_LAYERS = frozenset(
    {
        "Functional",
        "InputLayer",
        "Rescaling",
        "Conv2D",
        "DepthwiseConv2D",
        "SeparableConv2D",
        "BatchNormalization",
        "ReLU",
        "Activation",
        "Softmax",
        "Add",
        "Multiply",
        "Concatenate",
        "MaxPooling2D",
        "AveragePooling2D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "Flatten",
        "Reshape",
        "ZeroPadding2D",
        "Dropout",
        "Dense",
    }
)


def write_network(folder: Path, number: int, model: keras.Model) -> None:
    """Write ``networks/N.json`` and ``networks/N.npz`` (float16) below a bundle's folder."""
    target = folder / "networks"
    target.mkdir(parents=True, exist_ok=True)
    config = json.loads(model.to_json())
    config.pop("compile_config", None)  # training only; names functions unknown to a reader
    layers = json.dumps(config, indent=None, sort_keys=True)
    (target / f"{number}.json").write_text(layers + "\n", encoding="utf-8")
    arrays = {}
    for variable in _stored_variables(model):
        array = keras.ops.convert_to_numpy(variable).astype(np.float16)
        if not np.isfinite(array).all():
            raise BundleError(f"the weights {variable.path} overflow float16; train it again")
        arrays[variable.path] = array
    np.savez_compressed(target / f"{number}.npz", allow_pickle=False, **arrays)


def read_network(folder: Path, number: int) -> keras.Model:
    """Load a network. Input ``(N, height, width, 3)`` uint8, output ``(N, K)`` float32 logits.

    Raises ``BundleError`` for a layer that is not in ``ALLOWED_LAYERS``, a pickled array, or
    weights that do not match the layers.
    """
    path = folder / "networks" / f"{number}.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    refused = sorted(set(_class_names(config)) - ALLOWED_LAYERS)
    if refused:
        raise BundleError(
            f"{path}: the layer {refused[0]} is refused: a bundle may hold only layers that "
            "cannot contain code; rebuild the network without it"
        )
    model = keras.models.model_from_json(
        json.dumps({key: value for key, value in config.items() if key != "compile_config"})
    )
    _set_weights(model, folder / "networks" / f"{number}.npz")
    return model


def _set_weights(model: keras.Model, path: Path) -> None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path}: expected plain arrays by variable name; pickles are refused: {error}"
        ) from error
    variables = {variable.path: variable for variable in _stored_variables(model)}
    if variables.keys() != arrays.keys():
        odd = sorted(variables.keys() ^ arrays.keys())[:3]
        raise BundleError(f"{path}: the weights do not fit the layers; they differ in {odd}")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise BundleError(
                f"{path}: {name} has the shape {arrays[name].shape}, "
                f"the layer expects {tuple(variable.shape)}"
            )
        variable.assign(arrays[name].astype(np.float32))


def _stored_variables(model: keras.Model) -> list[Any]:
    """The weights that affect the output, so not the random state of dropout."""
    return [variable for variable in model.weights if "seed_generator" not in variable.path]


def _class_names(config: Any) -> Iterator[str]:
    """The class of every layer in a Keras configuration, at any depth."""
    if isinstance(config, Mapping):
        is_layer = "config" in config and str(config.get("module", "")).startswith("keras.layers")
        if is_layer or (config.get("class_name") and "inbound_nodes" in config):
            yield str(config["class_name"])
        for value in config.values():
            yield from _class_names(value)
    elif isinstance(config, list):
        for value in config:
            yield from _class_names(value)
