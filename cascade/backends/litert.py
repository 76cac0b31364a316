"""Runs a network on LiteRT, which is small to install, loads in milliseconds and is fast on a CPU.

An interpreter has a fixed batch size (a chunk) and is not thread-safe. So a runner has one
single-threaded interpreter for each thread and distributes the chunks of a batch among them. That
is faster than one interpreter that splits every layer between threads, because no thread waits
within a picture. All chunks have the same size (the last one is padded), so the logits of a picture
cannot depend on the size of its batch.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from cascade.backends.cores import available_cores
from cascade.errors import BundleError


class LiteRTRunner:
    """``(N, height, width, 3)`` uint8 to ``(N, K)`` float32 logits; any thread may call it.

    With ``features``, to ``(N, K + F)``: the input of the heads beside their logits.

    ``threads`` is the number of chunks that run at once; 0 means one for each core that this
    process may use. Raises ``BundleError`` if the file is not such a network.
    """

    def __init__(self, path: Path, threads: int = 0, *, features: bool = False) -> None:
        count = threads or available_cores()
        self._lock = threading.Lock()
        self._interpreters = [_Interpreter(path, features=features) for _ in range(count)]
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="litert") if count > 1 else None
        self._chunk = self._interpreters[0].chunk

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        with self._lock:
            result = np.empty((len(pixels), self._interpreters[0].width), np.float32)
            starts = range(0, len(pixels), self._chunk)
            shares = [starts[n :: len(self._interpreters)] for n in range(len(self._interpreters))]
            work = list(zip(self._interpreters, shares, strict=True))
            if self._pool is None or len(starts) < 2:
                work[0][0].run(pixels, result, starts)
                return result
            waiting = [self._pool.submit(each.run, pixels, result, share) for each, share in work]
            for future in waiting:
                future.result()
            return result


class _Interpreter:
    """An interpreter with a batch size of ``chunk``; ``width`` is K, with features K + F."""

    def __init__(self, path: Path, *, features: bool) -> None:
        try:
            self._interpreter = _open(path, features=features)
            (found,) = self._interpreter.get_input_details()
            shape = tuple(int(side) for side in found["shape"])
            if len(shape) != 4 or shape[3] != 3 or found["dtype"] != np.uint8:
                raise ValueError(f"its input is {shape} {found['dtype'].__name__}")
            self._input = found["index"]
            self._interpreter.allocate_tensors()
            answer, *others = self._interpreter.get_output_details()
            if len(others) != features:
                raise ValueError(f"it has {1 + len(others)} outputs")
            if answer["dtype"] != np.float32 or len(answer["shape"]) != 2:
                raise ValueError(f"its output is {answer['shape']} {answer['dtype'].__name__}")
        except (ValueError, RuntimeError) as error:
            raise BundleError(
                f"{path}: expected a LiteRT network from uint8 pictures to float32 logits: {error}"
                "; convert the bundle again"
            ) from error
        self._outputs = (answer, *others)
        self.width = sum(int(output["shape"][-1]) for output in self._outputs)
        self.chunk = shape[0]
        self._buffer = np.zeros(shape, np.uint8)

    def run(self, pixels: np.ndarray, result: np.ndarray, starts: Sequence[int]) -> None:
        """Fill the rows of ``result`` for the chunks that begin at ``starts``."""
        for start in starts:
            part = pixels[start : start + self.chunk]
            if len(part) < self.chunk:  # the rows after the last picture are not used
                self._buffer[: len(part)] = part
                self._interpreter.set_tensor(self._input, self._buffer)
            else:
                self._interpreter.set_tensor(self._input, part)
            self._interpreter.invoke()
            column = 0
            for output in self._outputs:
                answers = _as_numbers(self._interpreter.get_tensor(output["index"]), output)
                width = answers.shape[1]
                place = result[start : start + len(part), column : column + width]
                place[:] = answers[: len(part)]
                column += width


def _as_numbers(values: np.ndarray, output: dict[str, Any]) -> np.ndarray:
    """``(chunk, width)``; features of an 8-bit network are scaled to numbers."""
    values = values.reshape(len(values), -1)
    if values.dtype == np.float32:
        return values
    scale, zero = output["quantization"]
    result: np.ndarray = (values.astype(np.float32) - zero) * scale
    return result


def _open(path: Path, *, features: bool) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise BundleError(
            "the LiteRT runtime is not installed here: pip install ai-edge-litert, "
            "or use --backend tensorflow"
        ) from error
    if features:
        from cascade.backends.feature_output import with_feature_output

        return Interpreter(model_content=with_feature_output(path), num_threads=1)
    return Interpreter(model_path=str(path), num_threads=1)
