"""Vectors of pictures that have a label already: their files are read and classified again."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy.engine import Engine

from db import features
from db.chunks import chunks
from db.filters import Filter
from db.records import FileState, Row, Vector
from worker.concurrency import batch_size
from worker.decode import Decoder, decode_thread_count
from worker.model_loader import Model
from worker.settings import Settings
from worker.sources.row_files import row_loader

if TYPE_CHECKING:
    from cascade.pictures.decode import Loaded

ROWS_AT_ONCE = 1024


def fill(
    engine: Engine,
    wanted: Filter,
    model: Model,
    settings: Settings,
    stop: threading.Event | None = None,
) -> int:
    """Add the vectors that labelled rows lack; returns how many pictures got one.

    Files outside the roots, unreadable ones, and those whose bytes are not the labelled ones any
    more are left out. The networks are loaded only if a vector is missing.

    Args:
        engine: The catalogue.
        wanted: Which rows.
        model: Opened with `features`.
        settings: Roots, threads and batch size.
        stop: Set it to stop after the current batch.
    """
    digest = str(model.feature_digest())
    size = batch_size(settings, model, ROWS_AT_ONCE)
    threads = decode_thread_count(settings.decode_threads)
    added = 0
    with Decoder(
        row_loader(model.preprocessing), threads=threads, ahead=2 * size, stop=stop
    ) as decoder:
        for rows in chunks(features.rows_without(engine, digest, wanted), ROWS_AT_ONCE):
            by_hash = {row.content_hash: row for row in rows}
            files = [FileState(row.path) for row in by_hash.values()]
            readable = _unchanged(decoder(files, settings.roots), by_hash)
            for batch in chunks(readable, size):
                features.add(engine, _vectors(model, digest, batch))
                added += len(batch)
            if stop is not None and stop.is_set():
                break
    return added


def _unchanged(stream: Iterator[Loaded], by_hash: Mapping[str | None, Row]) -> Iterator[Loaded]:
    return (each for each in stream if each.pixels is not None and each.content_hash in by_hash)


def _vectors(model: Model, digest: str, batch: Sequence[Loaded]) -> dict[str, Vector]:
    import numpy as np

    found = model.classify(np.stack([each.pixels for each in batch if each.pixels is not None]))
    return {
        str(each.content_hash): Vector(digest, prediction.vector)
        for each, prediction in zip(batch, found, strict=True)
        if prediction.vector is not None
    }
