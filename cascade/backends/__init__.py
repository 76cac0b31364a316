"""The runtimes that a cascade's networks can run in, behind one small interface.

A runner is one network in one runtime: a function from ``(N, height, width, 3)`` uint8 to
``(N, K)`` float32 logits. What stands around it (routing, calibration, labels) is the same numpy
code for all of them, so a backend is a way of computing the logits and nothing else.

    tensorflow       the reference: Keras on TensorFlow, one frozen graph, also on a GPU
    litert_float32   LiteRT on the CPU, the same numbers with batch norm folded in
    litert_int8      LiteRT on the CPU, weights and activations of 8 bits

A bundle always holds what the reference needs; ``fashion-cascade convert`` adds the others below
``backends/``. A process that runs on LiteRT never imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cascade.errors import BundleError

if TYPE_CHECKING:
    from cascade.bundle import Bundle

Runner = Callable[[np.ndarray], np.ndarray]

TENSORFLOW = "tensorflow"
LITERT_FLOAT32 = "litert_float32"
LITERT_INT8 = "litert_int8"
LITERT = (LITERT_FLOAT32, LITERT_INT8)
AUTO = "auto"
CHOICES = (AUTO, TENSORFLOW, *LITERT)

_GPU_DEVICES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def choose(bundle: Bundle, wanted: str = AUTO) -> str:
    """The backend to run on: what is wanted, or what ``auto`` means for this bundle and machine.

    ``auto``: TensorFlow where it sees a GPU; else LiteRT in float32 where the bundle has it; else
    TensorFlow. Raises ``BundleError`` where the bundle does not have what is wanted, ``ValueError``
    for a name that is none.
    """
    if wanted not in CHOICES:
        raise ValueError(f"backend: expected one of {', '.join(CHOICES)}, received {wanted!r}")
    if wanted == AUTO:
        if _has_gpu():
            return TENSORFLOW
        usable = LITERT_FLOAT32 in available(bundle) and find_spec("ai_edge_litert") is not None
        return LITERT_FLOAT32 if usable else TENSORFLOW
    if wanted not in available(bundle):
        raise BundleError(
            f"{bundle.folder}: expected files for the backend {wanted}, it has only "
            f"{', '.join(available(bundle))}; add them with `fashion-cascade convert`, "
            f"or take another backend"
        )
    return wanted


def available(bundle: Bundle) -> tuple[str, ...]:
    """The backends that a bundle has the files for, the reference first."""
    return (TENSORFLOW, *(name for name in LITERT if path_of(name, 0) in bundle.manifest["files"]))


def runners(bundle: Bundle, backend: str, threads: int = 0) -> list[Runner]:
    """A runner for each network of a verified bundle, in the bundle's order.

    ``threads``: how many threads LiteRT may use at once, 0 for one a core that this process has;
    TensorFlow takes its own from its own settings.
    """
    numbers = range(max(bundle.network_of_decision) + 1)
    if backend == TENSORFLOW:
        from cascade.runtime import keras_runner
        from cascade.weights import read_network

        return [keras_runner(read_network(bundle.folder, number)) for number in numbers]
    from cascade.backends.litert import LiteRTRunner

    return [LiteRTRunner(bundle.folder / path_of(backend, n), threads) for n in numbers]


def path_of(backend: str, number: int) -> str:
    """Where a bundle keeps network ``number`` for a LiteRT backend."""
    return f"backends/{backend}/{number}.tflite"


def _has_gpu() -> bool:
    """Whether TensorFlow sees a GPU. It is imported, for seconds, only where there is a device."""
    if not any(Path(device).exists() for device in _GPU_DEVICES) or find_spec(TENSORFLOW) is None:
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
