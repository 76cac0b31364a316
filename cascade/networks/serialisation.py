"""Reads and writes the networks of a bundle: layers as JSON, weights as plain arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cascade.errors import BundleError
from cascade.networks.allowed import NETWORK, first_refused

AGAIN = "copy the bundle again, or train it anew"


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

    Raises ``BundleError`` for an object that is not in ``cascade.networks.allowed.ALLOWED``, for a
    pickled array, for weights that do not match the layers, and for damaged files.
    """
    path = folder / "networks" / f"{number}.json"
    model = _build(path, _read_layers(path))
    weights = folder / "networks" / f"{number}.npz"
    _set_weights(model, weights, _read_arrays(weights))
    return model


def _read_layers(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{path}: expected the layers of a network as JSON, received: {_brief(error)}; {AGAIN}"
        ) from error
    if not isinstance(config, dict) or config.get("class_name") != NETWORK:
        raise BundleError(f"{path}: expected a {NETWORK} network; {AGAIN}")
    config.pop("compile_config", None)  # training only
    refused = first_refused(config)
    if refused:
        raise BundleError(
            f"{path}: {refused} is refused: a bundle may hold only layers and parts of layers that "
            "cannot contain code; rebuild the network without it"
        )
    return config


def _build(path: Path, config: dict[str, Any]) -> keras.Model:
    try:
        return keras.models.model_from_json(json.dumps(config))
    except MemoryError:
        raise
    except Exception as error:  # Keras raises whatever the damage leads to
        raise BundleError(
            f"{path}: expected layers that fit together, received: {_brief(error)}; {AGAIN}"
        ) from error


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        # numpy leaves a file that it opened itself open when it fails
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except MemoryError:
        raise
    except Exception as error:  # of zipfile, zlib or numpy, by what is damaged
        raise BundleError(
            f"{path}: expected plain arrays by variable name (pickles are refused), received: "
            f"{_brief(error)}; {AGAIN}"
        ) from error


def _set_weights(model: keras.Model, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    variables = {variable.path: variable for variable in _stored_variables(model)}
    if variables.keys() != arrays.keys():
        odd = sorted(variables.keys() ^ arrays.keys())[:3]
        raise BundleError(
            f"{path}: expected the weights of the layers, they differ in {odd}; {AGAIN}"
        )
    for name, variable in variables.items():
        array = arrays[name]
        if tuple(variable.shape) != array.shape:
            raise BundleError(
                f"{path}: {name} has the shape {array.shape}, "
                f"the layer expects {tuple(variable.shape)}; {AGAIN}"
            )
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BundleError(
                f"{path}: {name} is {array.dtype}, expected finite numbers with a fraction; {AGAIN}"
            )
        variable.assign(array.astype(np.float32))


def _brief(error: Exception) -> str:
    """The kind of an error and the first line of its text; Keras quotes whole layers."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__} {text[:200]}".strip()


def _stored_variables(model: keras.Model) -> list[Any]:
    """The weights that affect the output, so not the random state of dropout."""
    return [variable for variable in model.weights if "seed_generator" not in variable.path]
