"""Converts a bundle's networks to LiteRT and compares each backend with the reference.

Once the variables are constants, the converter folds batch norm into the convolutions. The folded
weights no longer fit float16, so the float32 network stores them in float32. The int8 network has
8-bit weights per channel and 8-bit activations, with ranges measured on real pictures. Its input is
the uint8 picture, because the rescaling at its front becomes the quantisation of the input.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cascade.backends import (
    LITERT,
    LITERT_FLOAT32,
    LITERT_INT8,
    OPENVINO,
    OPENVINO_BF16,
    OPENVINO_FLOAT32,
    TENSORFLOW,
    TENSORFLOW_FLOAT16,
    installed,
    network_path,
    runners,
)
from cascade.bundle import MANIFEST, Bundle, seal
from cascade.chunks import chunks
from cascade.classifier import Cascade
from cascade.errors import BundleError
from cascade.networks.serialisation import read_network

log = logging.getLogger(__name__)

BATCH = 64
CHUNK = 8  # batch size of an interpreter: the activations fit a core's cache
UNQUANTISED_OPS = ("MEAN", "FULLY_CONNECTED", "CONCATENATION")
# least share of pictures on which a backend must predict the reference's best leaf
REQUIRED_AGREEMENT = {
    LITERT_FLOAT32: 0.9999,
    LITERT_INT8: 0.995,
    OPENVINO_FLOAT32: 0.9999,
    OPENVINO_BF16: 0.995,
    TENSORFLOW_FLOAT16: 0.995,
}


@dataclass(frozen=True)
class Agreement:
    """How far a backend agrees with the reference on the same pixels.

    Attributes:
        pictures: Number of pictures compared.
        leaves: Share of pictures with the same best leaf.
        labels: Share of pictures with the same label, after the thresholds.
        confidence: The largest difference of a leaf's probability.
        megabytes: The size of the backend's files.
        required: The least share of ``leaves``.
    """

    pictures: int
    leaves: float
    labels: float
    confidence: float
    megabytes: float
    required: float

    @property
    def sufficient(self) -> bool:
        return self.leaves >= self.required


def convert(
    source: Path,
    out_folder: Path,
    calibration: np.ndarray,
    comparison: np.ndarray,
    *,
    float16: bool = False,
) -> tuple[Bundle, dict[str, Agreement]]:
    """Copy a bundle and add the files of every LiteRT backend that agrees with the reference.

    A backend that agrees on a smaller share of leaves than ``REQUIRED_AGREEMENT`` is left out.

    Args:
        source: The bundle's folder.
        out_folder: The new bundle's folder; must not exist.
        calibration: ``(N, height, width, 3)`` uint8 pictures like those that the cascade will see.
            They set the activation ranges of int8.
        comparison: Other pictures of the same shape. Each backend is compared on them.
        float16: Also compare TensorFlow in float16, which is slow on a CPU.

    Returns:
        The new bundle, and the agreement of every backend, including those left out.

    Raises:
        BundleError: ``out_folder`` exists, or a set of pictures is empty.
    """
    if out_folder.exists():
        raise BundleError(f"{out_folder}: something is there already; name a new folder")
    if not len(calibration) or not len(comparison):
        raise BundleError("expected pictures to calibrate with and to compare on; found none")
    original = Bundle.open(source)
    part = out_folder.with_name(out_folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part, ignore=shutil.ignore_patterns(MANIFEST, "backends"))
    for number in range(len(original.decisions_of_network)):
        _write(part, number, calibration)
    bundle = seal(part, original.manifest["training"], original.manifest["figures"])
    agreements = compare(bundle, comparison, float16=float16)
    for backend, agreement in agreements.items():
        if not agreement.sufficient and backend in LITERT:
            shutil.rmtree(part / "backends" / backend)
    figures = {
        name: asdict(each)
        for name, each in agreements.items()
        # the others have no files to leave out; their figures exclude them (see `available`)
        if each.sufficient or name not in LITERT
    }
    seal(part, original.manifest["training"], {**original.manifest["figures"], "backends": figures})
    part.rename(out_folder)
    return Bundle.open(out_folder), agreements


def compare(bundle: Bundle, pixels: np.ndarray, *, float16: bool = False) -> dict[str, Agreement]:
    """Compare each backend with the reference on ``(N, height, width, 3)`` uint8 pictures.

    OpenVINO is skipped if it is not installed; TensorFlow in float16 runs only with ``float16``.
    """
    routing = bundle.routing
    expected = _backend_logits(bundle, TENSORFLOW, pixels)
    answers = routing.label(expected)
    found = {}
    on_gpu = (TENSORFLOW_FLOAT16,) if float16 else ()
    for backend in (*LITERT, *filter(installed, OPENVINO), *on_gpu):
        logits = _backend_logits(bundle, backend, pixels)
        pairs = list(zip(routing.label(logits), answers, strict=True))
        apart = np.abs(routing.leaf_probabilities(logits) - routing.leaf_probabilities(expected))
        files = (bundle.folder / network_path(backend, 0)).parent
        size = sum(file.stat().st_size for file in files.glob("*"))
        found[backend] = Agreement(
            len(pixels),
            sum(own.best_leaf == other.best_leaf for own, other in pairs) / len(pairs),
            sum(own.label == other.label for own, other in pairs) / len(pairs),
            float(apart.max()),
            round(size / 1e6, 2),
            REQUIRED_AGREEMENT[backend],
        )
        log.info("%s: %s", backend, found[backend])
    return found


def _backend_logits(bundle: Bundle, backend: str, pixels: np.ndarray) -> np.ndarray:
    cascade = Cascade(bundle, runners(bundle, backend))
    parts = [cascade.logits(pixels[part]) for part in chunks(len(pixels), BATCH)]
    return np.concatenate(parts)


def _write(folder: Path, number: int, calibration: np.ndarray) -> None:
    makers: dict[str, Callable[[], bytes]] = {
        LITERT_FLOAT32: lambda: to_float32(read_network(folder, number)),
        LITERT_INT8: lambda: to_int8(read_network(folder, number), calibration),
    }
    for backend, make in makers.items():
        log.info("network %d for %s", number, backend)
        path = folder / network_path(backend, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make())


def to_float32(model: keras.Model) -> bytes:
    """Convert a network to LiteRT in float32; returns the file's bytes."""
    import tensorflow as tf

    return bytes(_converter(model, tf.uint8).convert())


def to_int8(model: keras.Model, calibration: np.ndarray) -> bytes:
    """Convert a network to LiteRT with 8-bit weights and activations; returns the file's bytes.

    The layers after the convolutions stay float32. They take almost no time, and 8-bit means and
    logits reduce the agreement (on 1,200 photographs: 99.4 % with them in 8 bits, 99.7 % without).

    Args:
        model: A network that begins with a Rescaling layer.
        calibration: ``(N, height, width, 3)`` uint8 pictures that set the activation ranges.
    """
    import tensorflow as tf
    from tensorflow.lite.python.util import modify_model_io_type

    scale, offset, rest = _split_rescaling(model)

    def samples() -> Iterator[list[np.ndarray]]:
        for start in range(0, len(calibration), CHUNK):
            chosen = np.arange(start, start + CHUNK) % len(calibration)  # wraps: all are full
            values = calibration[chosen].astype(np.float32)
            if start == 0:  # with black and white, a step of the input is one grey level
                values[0, 0, :2] = [[0.0], [255.0]]
            yield [values * np.float32(scale) + np.float32(offset)]

    converter = _converter(rest, tf.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    # the only interface of the library that can exclude operations from quantisation
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=list(UNQUANTISED_OPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # deprecation of its interpreter
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=samples, debug_options=options
        )
        quantised = debugger.get_nondebug_quantized_model()
        return bytes(modify_model_io_type(quantised, tf.uint8, tf.float32))


def _split_rescaling(model: keras.Model) -> tuple[float, float, keras.Model]:
    """Scale and offset of the network's first layer, a Rescaling, and the network after it."""
    first = model.layers[1]
    if not isinstance(first, keras.layers.Rescaling):
        raise BundleError(
            f"expected a network that begins with Rescaling, received {type(first).__name__}; "
            "only such a network can be converted to int8"
        )
    return float(first.scale), float(first.offset), keras.Model(first.output, model.output)


def _converter(model: keras.Model, dtype: Any) -> Any:
    """A converter of the network, with variables as constants and a batch size of CHUNK."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    signature = tf.TensorSpec((CHUNK, *model.input_shape[1:]), dtype, name="pictures")
    traced = tf.function(
        lambda pictures: model(pictures, training=False),
        input_signature=[signature],
        autograph=False,
    )
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen], model)
