"""Group decoded pictures into full batches, classify them, and yield outcomes.

The networks run in one thread. While they classify one batch, this thread decodes, looks up and
stacks the next one, so the networks never wait while the decoder keeps up. At most two batches
are in flight, which bounds the memory.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from db.records import PUT_OFF, LabelFields, Outcome, Vector
from worker.errors import CountMismatch, HostTrouble
from worker.report import Report

if TYPE_CHECKING:
    import numpy as np

    from cascade.pictures.decode import Loaded
    from cascade.routing import Prediction

log = logging.getLogger(__name__)

Classify = Callable[["np.ndarray"], Sequence["Prediction"]]  # (N, height, width, 3) uint8 RGB
KnownLabels = Callable[[Sequence[str]], Mapping[str, LabelFields]]  # by content hash
CACHED_LABELS = 4096  # labels kept in memory for duplicates; the catalogue knows the older ones

# pictures by content hash: those with the same bytes are classified once
PicturesByHash = dict[str, list["Loaded"]]
# fields of a prediction that the catalogue keeps as they are
_OTHER_NAMES = {"model_label", "leaf_probabilities", "backend", "backend_digest"}
_SAME_NAMES = LabelFields.__dataclass_fields__.keys() - _OTHER_NAMES
RunningBatch = tuple[PicturesByHash, Future[tuple[Sequence["Prediction"], float]]]


class BatchClassifier:
    """Classifies a stream of decoded pictures in batches.

    The networks get full batches, except for the last one. Pictures with the same bytes are
    classified once; a label that the catalogue or an earlier batch gave to them is copied.

    Args:
        classify: the networks; always called from the same thread.
        known_labels: the labels that the catalogue has already, by content hash.
        size: pictures in a batch.
        report: gets the seconds spent waiting for the decoder, and each call of the networks.
        backend: what the networks run on, and the digest of its files; both are kept in the row.
        feature_digest: the digest of the vectors that `classify` gives; None: it gives none.
    """

    def __init__(
        self,
        classify: Classify,
        known_labels: KnownLabels,
        size: int,
        report: Report,
        backend: tuple[str | None, str | None] = (None, None),
        *,
        feature_digest: str | None = None,
    ) -> None:
        self._classify, self._known_labels = classify, known_labels
        self._size, self._report, self._backend = size, report, backend
        self._feature_digest = feature_digest
        self._label_cache: dict[str, LabelFields] = {}
        self._waiting: PicturesByHash = {}
        self._running: deque[RunningBatch] = deque()

    def outcomes(self, stream: Iterator[Loaded]) -> Iterator[list[Outcome]]:
        """Yield the outcome of every picture of `stream`, in lists of about a batch.

        Raises:
            HostTrouble: raised by `stream`; the running batches are yielded first.
            CountMismatch: the networks returned too few or too many answers.
            Exception: whatever the networks raise.
        """
        networks = ThreadPoolExecutor(1, thread_name_prefix="networks")
        try:
            try:
                while chunk := self._next_chunk(stream):
                    outcomes = self._without_networks(chunk)
                    if len(self._waiting) >= self._size:
                        self._submit(networks, self._size)
                        if len(self._running) > 1:
                            outcomes += self._finish_batch()
                    if outcomes:
                        yield outcomes
            except HostTrouble:  # what was decoded before it is kept
                while self._running:
                    yield self._finish_batch()
                raise
            if self._waiting:
                self._submit(networks, len(self._waiting))
            while self._running:
                yield self._finish_batch()
        finally:  # on a stop the running batches are dropped; the caller releases their leases
            self._waiting.clear()
            self._running.clear()
            networks.shutdown(cancel_futures=True)

    def _next_chunk(self, stream: Iterator[Loaded]) -> list[Loaded]:
        began = time.monotonic()
        chunk = list(islice(stream, self._size))
        self._report.decode_seconds += time.monotonic() - began
        return chunk

    def _without_networks(self, chunk: Sequence[Loaded]) -> list[Outcome]:
        """Outcomes that need no network. The other pictures wait, or join their running copy."""
        outcomes = [rejected(loaded) for loaded in chunk if loaded.pixels is None]
        usable = [loaded for loaded in chunk if loaded.pixels is not None]
        self._look_up({str(loaded.content_hash) for loaded in usable})
        for loaded in usable:
            content_hash = str(loaded.content_hash)
            if content_hash in self._label_cache:
                outcomes.append(labelled(loaded, self._label_cache[content_hash]))
                continue
            running = (pictures for pictures, _ in self._running if content_hash in pictures)
            next(running, self._waiting).setdefault(content_hash, []).append(loaded)
        return outcomes

    def _look_up(self, hashes: set[str]) -> None:
        running = (pictures for pictures, _ in self._running)
        if unknown := sorted(hashes.difference(self._label_cache, *running)):
            self._label_cache.update(self._known_labels(unknown))

    def _submit(self, networks: ThreadPoolExecutor, size: int) -> None:
        import numpy as np

        batch = {key: self._waiting.pop(key) for key in list(islice(self._waiting, size))}
        pixels = np.stack([_pixels(same[0]) for same in batch.values()])  # (N, height, width, 3)
        self._running.append((batch, networks.submit(self._timed, pixels)))

    def _timed(self, pixels: np.ndarray) -> tuple[Sequence[Prediction], float]:
        began = time.monotonic()
        return self._classify(pixels), time.monotonic() - began

    def _finish_batch(self) -> list[Outcome]:
        """Wait for the oldest running batch and return its outcomes."""
        predictions, seconds = self._running[0][1].result()
        batch, _ = self._running.popleft()
        if len(predictions) != len(batch):
            raise CountMismatch(
                f"expected {len(batch)} answers for {len(batch)} pictures, received "
                f"{len(predictions)}; nothing of this batch is stored: the classifier is at fault"
            )
        self._report.inferred += len(batch)
        self._report.batches.append((len(batch), self._size, seconds))
        outcomes = []
        for (content_hash, same), prediction in zip(batch.items(), predictions, strict=True):
            fields = self._label_cache[content_hash] = fields_of(prediction, self._backend)
            vector = self._vector_of(prediction)
            outcomes += [labelled(loaded, fields, vector) for loaded in same]
        surplus = max(0, len(self._label_cache) - CACHED_LABELS)
        for content_hash in list(islice(self._label_cache, surplus)):
            del self._label_cache[content_hash]
        return outcomes

    def _vector_of(self, prediction: Prediction) -> Vector | None:
        if self._feature_digest is None or prediction.vector is None:
            return None
        return Vector(self._feature_digest, prediction.vector)


def _pixels(loaded: Loaded) -> np.ndarray:
    assert loaded.pixels is not None
    return loaded.pixels


def rejected(loaded: Loaded) -> Outcome:
    """The outcome of a file that cannot be used, or cannot be read for now."""
    size, mtime, content_hash = loaded.size, loaded.mtime, loaded.content_hash
    if loaded.trouble is not None:
        log.warning("%s: put off, no verdict on the picture: %s", loaded.path, loaded.detail)
        return Outcome(loaded.path, PUT_OFF, size, mtime, content_hash, detail=loaded.detail)
    log.debug("%s: rejected as %s: %s", loaded.path, loaded.reason, loaded.detail)
    return Outcome(
        loaded.path, "rejected", size, mtime, content_hash, loaded.reason, detail=loaded.detail
    )


def labelled(loaded: Loaded, fields: LabelFields, vector: Vector | None = None) -> Outcome:
    """The outcome of a picture that got a label."""
    size, mtime, content_hash = loaded.size, loaded.mtime, loaded.content_hash
    return Outcome(loaded.path, "labelled", size, mtime, content_hash, fields=fields, vector=vector)


def fields_of(
    prediction: Prediction, backend: tuple[str | None, str | None] = (None, None)
) -> LabelFields:
    """The part of a prediction that the catalogue keeps, and the backend that made it."""
    values = {name: getattr(prediction, name) for name in _SAME_NAMES}
    shares = json.dumps(prediction.leaf_probabilities, ensure_ascii=False)
    values |= {"backend": backend[0], "backend_digest": backend[1]}
    return LabelFields(model_label=prediction.label, leaf_probabilities=shares, **values)
