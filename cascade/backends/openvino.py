"""Runs a network on OpenVINO, which is faster than LiteRT on x86-64 processors.

It reads the bundle's file for LiteRT in float32, so it needs no file of its own. As with LiteRT,
all chunks have the batch size of the converted network (the last one is padded), so the logits of a
picture cannot depend on the size of its batch.

In bfloat16, only the factors are rounded and the sums stay float32. Processors without bfloat16
compute in float32.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from cascade.backends.cores import available_cores
from cascade.chunks import chunks
from cascade.errors import BundleError

FLOAT32 = "f32"
BFLOAT16 = "bf16"


class OpenVINORunner:
    """``(N, height, width, 3)`` uint8 to ``(N, K)`` float32 logits; any thread may call it.

    With ``features``, to ``(N, K + F)``: the input of the heads beside their logits.

    ``threads`` is the number of chunks that run at once; 0 means one for each core that this
    process may use. Raises ``BundleError`` if the file is not such a network, or if OpenVINO is not
    installed.
    """

    def __init__(
        self, path: Path, threads: int = 0, precision: str = FLOAT32, *, features: bool = False
    ) -> None:
        count = threads or available_cores()
        compiled = _compile(path, count, precision, features=features)
        self._chunk, self._shape = compiled.input(0).shape[0], tuple(compiled.input(0).shape)
        self._width = sum(output.shape[1] for output in compiled.outputs)
        self._queue = _queue(compiled, count)
        self._lock = threading.Lock()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        with self._lock:
            result = np.empty((len(pixels), self._width), np.float32)
            for rows in chunks(len(pixels), self._chunk):
                part = np.ascontiguousarray(pixels[rows])
                count = len(part)
                if count < self._chunk:  # the rows after the last picture are not used
                    full = np.zeros(self._shape, np.uint8)
                    full[:count] = part
                    part = full
                place = result[rows]
                # shared memory must live until the result is there, so the request holds it
                self._queue.start_async({0: part}, (place, part), share_inputs=True)
            self._queue.wait_all()
            return result


def _compile(path: Path, threads: int, precision: str, *, features: bool) -> Any:
    try:
        import openvino
    except ImportError as error:
        raise BundleError(
            "OpenVINO is not installed here: pip install openvino, or use another --backend"
        ) from error
    try:
        core = openvino.Core()
        model = core.read_model(path)
        (given,), (answer,) = model.inputs, model.outputs
        shape, element = given.shape, given.element_type
        if len(shape) != 4 or shape[3] != 3 or element != openvino.Type.u8:
            raise ValueError(f"its input is {shape} {element}")
        if len(answer.shape) != 2 or answer.element_type != openvino.Type.f32:
            raise ValueError(f"its output is {answer.shape} {answer.element_type}")
        if features:
            model.add_outputs([_input_of_heads(answer)])
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": str(threads),
            "NUM_STREAMS": str(threads),
            # with pinning, several workers on a machine would all use the first cores
            "ENABLE_CPU_PINNING": "NO",
        }
        return core.compile_model(model, "CPU", options)
    except (RuntimeError, ValueError) as error:
        raise BundleError(
            f"{path}: expected a LiteRT network from uint8 pictures to float32 logits: {error}"
            "; convert the bundle again"
        ) from error


def _input_of_heads(answer: Any) -> Any:
    """The output that all heads multiply, searched from the logits backwards."""
    found, waiting = {}, [answer.get_node().input_value(0)]
    while waiting:
        output = waiting.pop()
        node = output.get_node()
        kind = node.get_type_name()
        if kind == "MatMul":
            output = node.input_value(0)
            while output.get_node().get_type_name() == "Reshape":
                output = output.get_node().input_value(0)
            found[output.get_node().get_friendly_name()] = output
        elif kind in ("Concat", "Add"):
            waiting += node.input_values()
        elif kind != "Constant":
            raise ValueError(f"its logits come from {kind}, not from linear heads")
    if len(found) != 1:
        raise ValueError(f"its heads have {len(found)} inputs, not one")
    return next(iter(found.values()))


def _queue(compiled: Any, count: int) -> Any:
    import openvino

    queue = openvino.AsyncInferQueue(compiled, count)
    queue.set_callback(_keep)
    return queue


def _keep(request: Any, where: tuple[np.ndarray, np.ndarray]) -> None:
    place, _ = where
    start = 0
    for output in request.output_tensors:
        values = output.data[: len(place)]
        place[:, start : start + values.shape[1]] = values
        start += values.shape[1]
