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

    ``threads`` is the number of chunks that run at once; 0 means one for each core that this
    process may use. Raises ``BundleError`` if the file is not such a network.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        count = threads or available_cores()
        self._lock = threading.Lock()
        self._interpreters = [_Interpreter(path) for _ in range(count)]
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
    """An interpreter with a batch size of ``chunk``; ``width`` is K."""

    def __init__(self, path: Path) -> None:
        try:
            self._interpreter = _open(path)
            (found,) = self._interpreter.get_input_details()
            shape = tuple(int(side) for side in found["shape"])
            if len(shape) != 4 or shape[3] != 3 or found["dtype"] != np.uint8:
                raise ValueError(f"its input is {shape} {found['dtype'].__name__}")
            self._input = found["index"]
            self._interpreter.allocate_tensors()
            (answer,) = self._interpreter.get_output_details()
            if answer["dtype"] != np.float32 or len(answer["shape"]) != 2:
                raise ValueError(f"its output is {answer['shape']} {answer['dtype'].__name__}")
        except (ValueError, RuntimeError) as error:
            raise BundleError(
                f"{path}: expected a LiteRT network from uint8 pictures to float32 logits: {error}"
                "; convert the bundle again"
            ) from error
        self._output = answer["index"]
        self.width = int(answer["shape"][1])
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
            answers = self._interpreter.get_tensor(self._output)
            result[start : start + len(part)] = answers[: len(part)]


def _open(path: Path) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise BundleError(
            "the LiteRT runtime is not installed here: pip install ai-edge-litert, "
            "or use --backend tensorflow"
        ) from error
    return Interpreter(model_path=str(path), num_threads=1)
