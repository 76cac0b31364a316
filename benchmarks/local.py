"""Contenders in one process: the limits, the bare loop, ``label``, Keras, ONNX Runtime."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Labels, Pass, in_process
from cascade.classifier import Cascade
from cascade.pictures.decode import Preprocessing, load

BATCH = 64


def cores() -> int:
    return len(os.sched_getaffinity(0))


def _pixels(path: Path, frame: Preprocessing) -> np.ndarray | None:
    return load(str(path), frame).pixels


def map_ahead(function: Callable[[Any], Any], items: Iterable[Any], waiting: int) -> Iterator[Any]:
    """Like ``map``, in order, but threads compute up to ``waiting`` results ahead."""
    rest = iter(items)
    with ThreadPoolExecutor(cores()) as pool:
        futures = deque(pool.submit(function, item) for item in islice(rest, waiting))
        while futures:
            result = futures.popleft().result()
            for item in islice(rest, 1):
                futures.append(pool.submit(function, item))
            yield result


def batches(paths: Sequence[Path], frame: Preprocessing) -> Iterator[tuple[list[Path], np.ndarray]]:
    """Paths and decoded pictures in full batches; files that cannot be decoded are left out."""
    stream = zip(paths, map_ahead(lambda p: _pixels(p, frame), paths, 2 * BATCH), strict=True)
    decoded = ((path, pixels) for path, pixels in stream if pixels is not None)
    while part := list(islice(decoded, BATCH)):
        yield [path for path, _ in part], np.stack([pixels for _, pixels in part])


def decode_alone(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    frame = Cascade.load(bundle, warm_up=0, backend="litert_float32").preprocessing

    def work() -> Labels:
        for _ in map_ahead(lambda p: _pixels(p, frame), paths, 2 * BATCH):
            pass
        return {}

    return in_process("decode alone", len(paths), work)


def cascade_alone(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    cascade = Cascade.load(bundle, warm_up=BATCH, backend=backend)
    ready = list(batches(paths, cascade.preprocessing))

    def work() -> Labels:
        return {
            path.name: answer.label
            for names, pixels in ready
            for path, answer in zip(names, cascade.classify(pixels), strict=True)
        }

    return in_process("cascade alone", sum(len(names) for names, _ in ready), work)


def bare_loop(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """Decode and classify in one process without queue and database: the upper limit."""
    cascade = Cascade.load(bundle, warm_up=BATCH, backend=backend)

    def work() -> Labels:
        return {
            path.name: answer.label
            for names, pixels in batches(paths, cascade.preprocessing)
            for path, answer in zip(names, cascade.classify(pixels), strict=True)
        }

    return in_process("bare loop", len(paths), work)


def label(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """Run ``fashion-cascade label`` on a new SQLite catalogue, with networks already loaded."""
    import sqlalchemy as sa

    from db.catalogue import Catalogue
    from worker.local import LocalRun
    from worker.model_loader import open_model
    from worker.report import Report
    from worker.settings import Settings
    from worker.sources.scan import SkippedFiles, sources

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(catalogue_url=f"sqlite:///{folder}/catalogue.db", batch_size=BATCH)
        catalogue = Catalogue.open(settings.catalogue_url)
        model = open_model(str(bundle), backend)
        model.load()
        catalogue.register_model(model.version, model.labels())
        run = LocalRun(catalogue, model, settings, threading.Event())
        found = sources([str(paths[0].parent)], crawl="bench", roots=(), nul=False)

        def work() -> Labels:
            run.label(found, Report(), SkippedFiles())
            return {}

        done = in_process("label, SQLite", len(paths), work)
        with catalogue.engine.connect() as connection:
            rows = connection.execute(
                sa.text("SELECT path, label FROM catalogue WHERE label IS NOT NULL")
            )
            done.labels = {Path(path).name: label for path, label in rows}
        catalogue.close()
    return done


def keras_predict(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """Run ``model.predict`` on a ``tf.data`` pipeline; writes no rows."""
    import tensorflow as tf

    from cascade.networks.serialisation import read_network

    cascade = Cascade.load(bundle, warm_up=0, backend="litert_float32")
    frame, model = cascade.preprocessing, read_network(bundle, 0)
    shape = (frame.height, frame.width, 3)
    blank = np.zeros(shape, np.uint8)

    def one(name: bytes) -> np.ndarray:
        pixels = _pixels(Path(os.fsdecode(name)), frame)
        return blank if pixels is None else pixels

    def dataset(chosen: Sequence[Path]) -> Any:
        names = tf.data.Dataset.from_tensor_slices([str(path) for path in chosen])
        decoded = names.map(
            lambda name: tf.ensure_shape(tf.numpy_function(one, [name], tf.uint8), shape),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return decoded.batch(BATCH).prefetch(tf.data.AUTOTUNE)

    model.predict(dataset(paths[:BATCH]), verbose=0)

    def work() -> Labels:
        answers = cascade.routing.label(model.predict(dataset(paths), verbose=0))
        return {path.name: each.label for path, each in zip(paths, answers, strict=True)}

    return in_process("tf.data + predict", len(paths), work)


def onnx_loop(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """Decode in threads and run an ONNX Runtime session, as an expert would write by hand."""
    import onnxruntime

    cascade = Cascade.load(bundle, warm_up=0, backend="litert_float32")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    file = paths[0].parent.with_suffix(".onnx")
    if not file.is_file():  # in another process, so that this one does not load TensorFlow
        file.write_bytes(_exported(bundle))
    session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
    blank = np.zeros(
        (BATCH, cascade.preprocessing.height, cascade.preprocessing.width, 3),
        "uint8",
    )
    session.run(None, {"pictures": blank})

    def work() -> Labels:
        found: Labels = {}
        for names, pixels in batches(paths, cascade.preprocessing):
            (logits,) = session.run(None, {"pictures": pixels})
            answers = cascade.routing.label(logits)
            found |= {path.name: each.label for path, each in zip(names, answers, strict=True)}
        return found

    return in_process("ONNX Runtime loop", len(paths), work)


def _exported(bundle: Path) -> bytes:
    command = [sys.executable, "-m", "benchmarks.onnx_export", str(bundle)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
