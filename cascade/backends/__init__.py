"""Runs a cascade's networks on TensorFlow, LiteRT or OpenVINO behind one interface.

A runner is one network in one runtime: a function from ``(N, height, width, 3)`` uint8 to
``(N, K)`` float32 logits. Routing, calibration and labels are the same NumPy code for all, so a
backend only computes the logits.

    tensorflow          the reference: Keras on TensorFlow, one frozen graph, also on a GPU
    tensorflow_float16  the same in mixed precision (float16), for a GPU
    litert_float32      LiteRT on the CPU, the same numbers with batch norm folded in
    litert_int8         LiteRT on the CPU, 8-bit weights and activations
    openvino            OpenVINO on an x86-64 CPU in float32, from the file of litert_float32
    openvino_bf16       the same in bfloat16, if the processor supports it

Every bundle has the files of the reference; ``fashion-cascade convert`` adds the others below
``backends/``. A process that runs on LiteRT or OpenVINO never imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.errors import BundleError, LibraryMissing

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
BATCH = 64  # pictures at once on a CPU, where larger batches are no faster
SAME_LABELS = 0.9999  # least share of pictures for a backend to count as equal to the reference
# the CPU backends that `auto` may choose, fastest first
_SAME_NUMBERS = (OPENVINO_FLOAT32, LITERT_FLOAT32)
_PACKAGES = dict.fromkeys(LITERT, "ai_edge_litert") | dict.fromkeys(OPENVINO, "openvino")

_GPU_DEVICES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def choose_backend(bundle: Bundle, wanted: str = AUTO) -> str:
    """The backend to run on: ``wanted``, or the one that ``auto`` means here.

    ``auto`` is TensorFlow if it sees a GPU, in float16 if ``convert`` found the same leaf and the
    same label on at least ``SAME_LABELS`` of the pictures. Otherwise it is the first of OpenVINO
    and LiteRT in float32 that is installed and in the bundle, or else TensorFlow.

    Raises:
        BundleError: The bundle does not have the files of ``wanted``.
        LibraryMissing: The library of the backend is not installed.
        ValueError: ``wanted`` is not one of ``CHOICES``.
    """
    chosen = _choose(bundle, wanted)
    if not installed(chosen):
        raise LibraryMissing(install_hint(_PACKAGES.get(chosen, TENSORFLOW), f"backend {chosen}"))
    return chosen


def _choose(bundle: Bundle, wanted: str) -> str:
    if wanted not in CHOICES:
        raise ValueError(f"backend: expected one of {', '.join(CHOICES)}, received {wanted!r}")
    if wanted == AUTO:
        if has_gpu():
            return TENSORFLOW_FLOAT16 if labels_agree(bundle, TENSORFLOW_FLOAT16) else TENSORFLOW
        usable = [name for name in _SAME_NUMBERS if name in available(bundle) and installed(name)]
        return usable[0] if usable else TENSORFLOW
    if wanted not in available(bundle):
        raise BundleError(
            f"{bundle.folder}: expected files for the backend {wanted}, found only "
            f"{', '.join(available(bundle))}; add them with `fashion-cascade convert`, "
            "or choose another backend"
        )
    return wanted


def available(bundle: Bundle) -> tuple[str, ...]:
    """The backends that a bundle has the files for, the reference first.

    Backends that differ from the reference on too many leaves, as ``convert`` measured, are left
    out.
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
        # it needs no file, so it is available only if `convert` measured it
        *(
            name
            for name in (TENSORFLOW_FLOAT16,)
            if found.get(name, {}).get("leaves", 0) >= found.get(name, {}).get("required", 1)
        ),
    )


def labels_agree(bundle: Bundle, backend: str) -> bool:
    """Whether leaf and label equal the reference's on at least ``SAME_LABELS`` of the pictures."""
    found = bundle.manifest.get("figures", {}).get("backends", {}).get(backend, {})
    return all(found.get(name, 0.0) >= SAME_LABELS for name in ("leaves", "labels"))


def installed(backend: str) -> bool:
    """Whether a backend's package is installed. Does not import it."""
    return find_spec(_PACKAGES.get(backend, TENSORFLOW)) is not None


def require_tensorflow(what: str) -> None:
    """Refuse at once what needs TensorFlow and Keras where they were left out.

    Args:
        what: the command, for the message.

    Raises:
        LibraryMissing: one of them is not installed.
    """
    for library in (TENSORFLOW, "keras"):
        if find_spec(library) is None:
            raise LibraryMissing(install_hint(library, what))


def install_hint(library: str, what: str) -> str:
    """The message that `library` is absent, and how to get it."""
    package = {"ai_edge_litert": "ai-edge-litert"}.get(library, library)
    return (
        f"{what} needs {package}, which this installation leaves out: pip install fashion-cascade "
        "with all that it requires, or use the full image (docs/operations.md)"
    )


def runners(
    bundle: Bundle, backend: str, threads: int = 0, *, features: bool = False
) -> list[Runner]:
    """Load a runner for each network of a verified bundle, in the bundle's order.

    Args:
        bundle: The bundle.
        backend: One of ``CHOICES`` other than ``auto``.
        threads: Threads of LiteRT or OpenVINO; 0 means one for each core that this process may
            use. TensorFlow has its own settings.
        features: Return ``(N, K + F)``: the pooled features beside the logits. The bundle must have
            one network whose heads are linear over pooled features.
    """
    numbers = range(len(bundle.decisions_of_network))
    if backend in ON_TENSORFLOW:
        from cascade.backends.tensorflow import in_float16, keras_runner
        from cascade.networks.serialisation import read_network

        networks = [read_network(bundle.folder, number) for number in numbers]
        if backend == TENSORFLOW_FLOAT16:
            networks = [in_float16(network) for network in networks]
        if features:
            from cascade.networks.heads import with_features

            networks = [with_features(network) for network in networks]
        return [keras_runner(network) for network in networks]
    if backend in OPENVINO:
        from cascade.backends.openvino import BFLOAT16, FLOAT32, OpenVINORunner

        precision = BFLOAT16 if backend == OPENVINO_BF16 else FLOAT32
        files = [bundle.folder / network_path(backend, number) for number in numbers]
        return [OpenVINORunner(file, threads, precision, features=features) for file in files]
    from cascade.backends.litert import LiteRTRunner

    files = [bundle.folder / network_path(backend, number) for number in numbers]
    return [LiteRTRunner(file, threads, features=features) for file in files]


def network_path(backend: str, number: int) -> str:
    """The file of network ``number`` for a backend. OpenVINO reads LiteRT's files."""
    return f"backends/{LITERT_FLOAT32 if backend in OPENVINO else backend}/{number}.tflite"


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU. Its slow import is skipped if there is no GPU device."""
    if not any(Path(device).exists() for device in _GPU_DEVICES) or find_spec(TENSORFLOW) is None:
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
