"""Decoded pictures into full batches, through the networks, and out as outcomes.

The networks run in a thread of their own. While they label one batch, the next one is decoded,
looked up and stacked here, and stored elsewhere: so they wait for nothing as long as the decoder
keeps up. At most two batches are with them, which bounds the memory.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from db.records import LabelFields, Outcome
from worker.errors import CountMismatch, RootGone
from worker.report import Report

if TYPE_CHECKING:
    import numpy as np

    from cascade.pictures.decode import Loaded
    from cascade.routing import Prediction

log = logging.getLogger(__name__)

Classify = Callable[["np.ndarray"], Sequence["Prediction"]]  # (N, height, width, 3) uint8 RGB
KEPT = 4096  # labels at hand for the same bytes once more; older ones are asked of the catalogue
Known = Callable[[Sequence[str]], Mapping[str, LabelFields]]  # content hashes -> what was said

# the pictures of a batch by content hash: those with the same bytes are classified once
Twins = dict[str, list["Loaded"]]
Flight = tuple[Twins, Future[tuple[Sequence["Prediction"], float]]]


class Batching:
    """Outcomes of decoded pictures, in lists that hold about a batch.

    Only full batches reach the networks, the last one apart. The same bytes are classified once:
    what the catalogue or this object said of them before is copied.

    Args:
        classify: the networks; called in one thread, never twice at once.
        known: the labels that the catalogue has already, by content hash.
        size: pictures in a batch.
        report: gets the seconds that decoding was waited for, and each call of the networks.
    """

    def __init__(self, classify: Classify, known: Known, size: int, report: Report) -> None:
        self._classify, self._known, self._size, self._report = classify, known, size, report
        self._given: dict[str, LabelFields] = {}
        self._waiting: Twins = {}
        self._flying: deque[Flight] = deque()

    def outcomes(self, stream: Iterator[Loaded]) -> Iterator[list[Outcome]]:
        """The outcome of every picture of `stream`.

        Raises:
            RootGone: as `stream` raised it, after the batches that were with the networks.
            CountMismatch: the networks lost or invented an answer.
            Exception: whatever the networks raise.
        """
        networks = ThreadPoolExecutor(1, thread_name_prefix="networks")
        try:
            try:
                while chunk := self._decoded(stream):
                    settled = self._sorted_out(chunk)
                    if len(self._waiting) >= self._size:
                        self._launch(networks, self._size)
                        if len(self._flying) > 1:
                            settled += self._landed()
                    if settled:
                        yield settled
            except RootGone:  # what was decoded before is not lost by it
                while self._flying:
                    yield self._landed()
                raise
            if self._waiting:
                self._launch(networks, len(self._waiting))
            while self._flying:
                yield self._landed()
        finally:  # what flies when it is stopped is dropped: its leases are given back
            self._waiting.clear()
            self._flying.clear()
            networks.shutdown(cancel_futures=True)

    def _decoded(self, stream: Iterator[Loaded]) -> list[Loaded]:
        began = time.monotonic()
        chunk = list(islice(stream, self._size))
        self._report.decode_seconds += time.monotonic() - began
        return chunk

    def _sorted_out(self, chunk: Sequence[Loaded]) -> list[Outcome]:
        """The outcomes that need no network; the other pictures wait, or join a twin that flies."""
        settled = [rejected(loaded) for loaded in chunk if loaded.pixels is None]
        usable = [loaded for loaded in chunk if loaded.pixels is not None]
        self._look_up({str(loaded.content_hash) for loaded in usable})
        for loaded in usable:
            content_hash = str(loaded.content_hash)
            if content_hash in self._given:
                settled.append(labelled(loaded, self._given[content_hash]))
                continue
            flying = (twins for twins, _ in self._flying if content_hash in twins)
            next(flying, self._waiting).setdefault(content_hash, []).append(loaded)
        return settled

    def _look_up(self, hashes: set[str]) -> None:
        unknown = sorted(hashes.difference(self._given, *(twins for twins, _ in self._flying)))
        if unknown:
            self._given.update(self._known(unknown))

    def _launch(self, networks: ThreadPoolExecutor, size: int) -> None:
        import numpy as np

        twins = {key: self._waiting.pop(key) for key in list(islice(self._waiting, size))}
        pixels = np.stack([_pixels(same[0]) for same in twins.values()])  # (N, height, width, 3)
        self._flying.append((twins, networks.submit(self._timed, pixels)))

    def _timed(self, pixels: np.ndarray) -> tuple[Sequence[Prediction], float]:
        began = time.monotonic()
        return self._classify(pixels), time.monotonic() - began

    def _landed(self) -> list[Outcome]:
        """The outcomes of the batch that was launched first, when the networks are through."""
        predictions, seconds = self._flying[0][1].result()
        twins, _ = self._flying.popleft()
        if len(predictions) != len(twins):
            raise CountMismatch(
                f"expected {len(twins)} answers for {len(twins)} pictures, received "
                f"{len(predictions)}; nothing of this batch is stored: the classifier is at fault"
            )
        self._report.inferred += len(twins)
        self._report.batches.append((len(twins), self._size, seconds))
        outcomes = []
        for (content_hash, same), prediction in zip(twins.items(), predictions, strict=True):
            fields = self._given[content_hash] = fields_of(prediction)
            outcomes += [labelled(loaded, fields) for loaded in same]
        for content_hash in list(islice(self._given, max(0, len(self._given) - KEPT))):
            del self._given[content_hash]
        return outcomes


def _pixels(loaded: Loaded) -> np.ndarray:
    assert loaded.pixels is not None
    return loaded.pixels


def rejected(loaded: Loaded) -> Outcome:
    """The outcome of a file that cannot be used."""
    log.debug("%s: rejected as %s: %s", loaded.path, loaded.reason, loaded.detail)
    size, mtime, content_hash = loaded.size, loaded.mtime, loaded.content_hash
    return Outcome(loaded.path, "rejected", size, mtime, content_hash, loaded.reason)


def labelled(loaded: Loaded, fields: LabelFields) -> Outcome:
    """The outcome of a picture that got a label."""
    size, mtime, content_hash = loaded.size, loaded.mtime, loaded.content_hash
    return Outcome(loaded.path, "labelled", size, mtime, content_hash, fields=fields)


def fields_of(prediction: Prediction) -> LabelFields:
    """What the catalogue keeps of a prediction."""
    return LabelFields(
        **{name: getattr(prediction, name) for name in LabelFields.__dataclass_fields__}
    )
