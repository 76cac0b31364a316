"""The runtimes that a cascade's networks can run in, behind one small interface.

A runner is one network in one runtime: a function from ``(N, height, width, 3)`` uint8 to
``(N, K)`` float32 logits. What stands around it (routing, calibration, labels) is the same numpy
code for all of them, so a backend is a way of computing the logits and nothing else.

    tensorflow          the reference: Keras on TensorFlow, one frozen graph, also on a GPU
    tensorflow_float16  the same, multiplying in float16 (mixed precision), for a GPU
    litert_float32      LiteRT on the CPU, the same numbers with batch norm folded in
    litert_int8         LiteRT on the CPU, weights and activations of 8 bits
    openvino            OpenVINO on an x86-64 CPU in float32, from the file of litert_float32
    openvino_bf16       the same in bfloat16, where the processor has it

A bundle always holds what the reference needs; ``fashion-cascade convert`` adds the others below
``backends/``. A process that runs on LiteRT or OpenVINO never imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.errors import BundleError

if TYPE_CHECKING:
    import numpy as np

    from cascade.bundle import Bundle

Runner = Callable[["np.ndarray"], "np.ndarray"]

TENSORFLOW = "tensorflow"
TENSORFLOW_FLOAT16 = "tensorflow_float16"
ON_TENSORFLOW = (TENSORFLOW, TENSORFLOW_FLOAT16)
LITERT_FLOAT32 = "litert_float32"
LITERT_INT8 = "litert_int8"
LITERT = (LITERT_FLOAT32, LITERT_INT8)
OPENVINO_FLOAT32 = "openvino"
OPENVINO_BF16 = "openvino_bf16"
OPENVINO = (OPENVINO_FLOAT32, OPENVINO_BF16)
AUTO = "auto"
CHOICES = (AUTO, *ON_TENSORFLOW, *LITERT, *OPENVINO)
BATCH = 64  # pictures at once on a CPU, where more are no quicker
SAME_LABELS = 0.9999  # of the pictures: from there on a backend has the reference's labels
# those with the reference's numbers, the quickest first; the others must be asked for
_SAME_NUMBERS = (OPENVINO_FLOAT32, LITERT_FLOAT32)
_PACKAGES = dict.fromkeys(LITERT, "ai_edge_litert") | dict.fromkeys(OPENVINO, "openvino")

_GPU_DEVICES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def choose_backend(bundle: Bundle, wanted: str = AUTO) -> str:
    """The backend to run on: what is wanted, or what ``auto`` means for this bundle and machine.

    ``auto``: TensorFlow where it sees a GPU, in float16 if ``convert`` found the same leaf and the
    same label on at least ``SAME_LABELS`` of them; else OpenVINO in float32, else LiteRT in
    float32, where the bundle has it and it is installed; else TensorFlow. Raises ``BundleError``
    where the bundle does not have what is wanted, ``ValueError`` for a name that is none.
    """
    if wanted not in CHOICES:
        raise ValueError(f"backend: expected one of {', '.join(CHOICES)}, received {wanted!r}")
    if wanted == AUTO:
        if has_gpu():
            return TENSORFLOW_FLOAT16 if labels_agree(bundle, TENSORFLOW_FLOAT16) else TENSORFLOW
        usable = [name for name in _SAME_NUMBERS if name in available(bundle) and installed(name)]
        return usable[0] if usable else TENSORFLOW
    if wanted not in available(bundle):
        raise BundleError(
            f"{bundle.folder}: expected files for the backend {wanted}, it has only "
            f"{', '.join(available(bundle))}; add them with `fashion-cascade convert`, "
            f"or take another backend"
        )
    return wanted


def available(bundle: Bundle) -> tuple[str, ...]:
    """The backends that a bundle has the files for, the reference first.

    One that ``convert`` found to name other leaves too often is not among them.
    """
    found = bundle.manifest.get("figures", {}).get("backends", {})
    return (
        TENSORFLOW,
        *(
            name
            for name in (*LITERT, *OPENVINO)
            if network_path(name, 0) in bundle.manifest["files"]
            and found.get(name, {}).get("leaves", 1) >= found.get(name, {}).get("required", 0)
        ),
        # which needs no file, so what was found is all that speaks for it
        *(
            name
            for name in (TENSORFLOW_FLOAT16,)
            if found.get(name, {}).get("leaves", 0) >= found.get(name, {}).get("required", 1)
        ),
    )


def labels_agree(bundle: Bundle, backend: str) -> bool:
    """Whether ``convert`` found the reference's leaf and label on (next to) every picture."""
    found = bundle.manifest.get("figures", {}).get("backends", {}).get(backend, {})
    return all(found.get(name, 0.0) >= SAME_LABELS for name in ("leaves", "labels"))


def installed(backend: str) -> bool:
    """Whether the package that a backend needs is there, without importing it."""
    return find_spec(_PACKAGES.get(backend, TENSORFLOW)) is not None


def runners(bundle: Bundle, backend: str, threads: int = 0) -> list[Runner]:
    """A runner for each network of a verified bundle, in the bundle's order.

    ``threads``: how many threads LiteRT or OpenVINO may use at once, 0 for one a core that this
    process has; TensorFlow takes its own from its own settings.
    """
    numbers = range(len(bundle.decisions_of_network))
    if backend in ON_TENSORFLOW:
        from cascade.backends.tensorflow import in_float16, keras_runner
        from cascade.networks.serialisation import read_network

        networks = [read_network(bundle.folder, number) for number in numbers]
        if backend == TENSORFLOW_FLOAT16:
            networks = [in_float16(network) for network in networks]
        return [keras_runner(network) for network in networks]
    if backend in OPENVINO:
        from cascade.backends.openvino import BFLOAT16, FLOAT32, OpenVINORunner

        precision = BFLOAT16 if backend == OPENVINO_BF16 else FLOAT32
        files = [bundle.folder / network_path(backend, number) for number in numbers]
        return [OpenVINORunner(file, threads, precision) for file in files]
    from cascade.backends.litert import LiteRTRunner

    return [LiteRTRunner(bundle.folder / network_path(backend, n), threads) for n in numbers]


def network_path(backend: str, number: int) -> str:
    """Where a bundle keeps network ``number`` for a backend; OpenVINO reads LiteRT's files."""
    return f"backends/{LITERT_FLOAT32 if backend in OPENVINO else backend}/{number}.tflite"


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU. It is imported, for seconds, only where there is a device."""
    if not any(Path(device).exists() for device in _GPU_DEVICES) or find_spec(TENSORFLOW) is None:
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
