"""The heart: one shard of paths, from the claim to the last row.

Who owns what: the *store* owns the leases and the rows; *decode* owns the threads that open
files, and how far they run ahead; *classify* owns the networks; `run_shard` owns the order of
things and nothing else. It never raises because of one picture: each ends as one outcome.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from db.records import Claim, FileState, LabelFields, Outcome
from worker.errors import CountMismatch
from worker.report import Report

if TYPE_CHECKING:
    import numpy as np

    from cascade.images import Loaded
    from cascade.routing import Prediction

log = logging.getLogger(__name__)

Decode = Callable[[Sequence[FileState], Sequence[str]], Iterator["Loaded"]]
Classify = Callable[["np.ndarray"], Sequence["Prediction"]]  # (N, height, width, 3) uint8 RGB


class Store(Protocol):
    """What the pipeline needs of a catalogue; ``db.catalogue.Catalogue`` tells the semantics."""

    def claim(
        self,
        crawl: str,
        files: Sequence[FileState],
        owner: str,
        lease_seconds: float,
        model_version: str,
        *,
        reopen: bool = True,
    ) -> Claim: ...

    def claim_alone(
        self, crawl: str, path: str, owner: str, lease_seconds: float, model_version: str
    ) -> bool: ...

    def renew(self, crawl: str, owner: str, paths: Sequence[str], lease_seconds: float) -> int: ...

    def labels_by_hash(
        self, hashes: Sequence[str], model_version: str
    ) -> Mapping[str, LabelFields]: ...

    def store(
        self, crawl: str, owner: str, model_version: str, outcomes: Sequence[Outcome]
    ) -> int: ...

    def release(self, crawl: str, owner: str) -> int: ...


@dataclass(frozen=True)
class Shard:
    """Some files of one crawl; they must lie in one of `roots`, unless there are none."""

    crawl: str
    files: Sequence[FileState]
    roots: tuple[str, ...] = ()


@dataclass(frozen=True)
class PipelineOptions:
    """How a shard is run. `owner` names one life of one process; `stop` asks for a clean end.

    `reopen`: finished rows whose file changed, or that another model labelled, are worked again.
    """

    owner: str
    model_version: str
    batch_size: int = 64
    lease_seconds: float = 300.0
    reopen: bool = True
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class ShardResult:
    """What is left to do: nothing, unless it was stopped or others hold some of the paths."""

    stopped: bool
    busy: int
    busy_seconds: float | None


def run_shard(
    shard: Shard,
    *,
    store: Store,
    decode: Decode,
    classify: Classify,
    options: PipelineOptions,
    report: Report,
) -> ShardResult:
    """Claim, decode ahead, classify full batches, store each while the next one runs.

    On a stop the batch at hand is finished and the other leases are given back; so they are when
    anything raises. Pictures whose worker died once are run one by one, after the others.

    Raises:
        RootGone: the folder with the pictures went away; nothing was called missing.
        CountMismatch: the classifier lost or invented an answer; nothing of it was stored.
        Exception: whatever store and classifier raise: they failed, not a picture.
    """
    crawl, owner, model = shard.crawl, options.owner, options.model_version
    claim = store.claim(
        crawl, shard.files, owner, options.lease_seconds, model, reopen=options.reopen
    )
    report.claimed(claim)
    work = _Work(shard, store, decode, classify, options, report)
    try:
        if claim.todo:
            work.run(claim.todo)
        for file in claim.suspects:
            if options.stop.is_set():
                break
            if store.claim_alone(crawl, file.path, owner, options.lease_seconds, model):
                work.run([file])
            else:
                report.skipped(1)
    except BaseException:
        _give_back(store, crawl, owner)
        raise
    if options.stop.is_set():
        store.release(crawl, owner)
    return ShardResult(options.stop.is_set(), len(claim.busy), claim.busy_seconds)


@dataclass
class _Work:
    """The collaborators of one shard, and the labels that it gave so far, by content hash."""

    shard: Shard
    store: Store
    decode: Decode
    classify: Classify
    options: PipelineOptions
    report: Report
    given: dict[str, LabelFields] = field(default_factory=dict)

    def run(self, files: Sequence[FileState]) -> None:
        """Label leased files. A batch is committed while the next one is classified."""
        unsettled = {file.path for file in files}
        renewed = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="store") as writer:
            writing: Future[None] | None = None
            for outcomes in self._batches(self.decode(files, self.shard.roots)):
                if writing is not None:
                    writing.result()
                writing = writer.submit(self._store, outcomes)
                unsettled.difference_update(outcome.path for outcome in outcomes)
                if self.options.stop.is_set():
                    break
                if time.monotonic() - renewed > self.options.lease_seconds / 3:
                    self._renew(unsettled)
                    renewed = time.monotonic()
            if writing is not None:
                writing.result()

    def _batches(self, stream: Iterator[Loaded]) -> Iterator[list[Outcome]]:
        """Outcomes, in lists that hold about a batch; only full batches reach the networks.

        The same bytes are classified once: `waiting` gathers the pictures of one hash, and what
        the catalogue knows already is copied.
        """
        size = self.options.batch_size
        waiting: dict[str, list[Loaded]] = {}
        while chunk := self._decoded(stream, size):
            settled = [rejected(loaded) for loaded in chunk if loaded.pixels is None]
            known = self._known([loaded for loaded in chunk if loaded.pixels is not None])
            for loaded in chunk:
                if loaded.pixels is None:
                    continue
                content_hash = str(loaded.content_hash)
                if content_hash in known:
                    settled.append(labelled(loaded, known[content_hash]))
                else:
                    waiting.setdefault(content_hash, []).append(loaded)
            if len(waiting) >= size:
                full = {key: waiting.pop(key) for key in list(waiting)[:size]}
                settled += self._classified(full)
            if settled:
                yield settled
        if waiting:
            yield self._classified(waiting)

    def _decoded(self, stream: Iterator[Loaded], size: int) -> list[Loaded]:
        began = time.monotonic()
        chunk = list(islice(stream, size))
        self.report.decode_seconds += time.monotonic() - began
        return chunk

    def _known(self, decoded: Sequence[Loaded]) -> Mapping[str, LabelFields]:
        """The labels of pictures that this model has labelled before, here or in the catalogue."""
        hashes = {str(loaded.content_hash) for loaded in decoded}
        known = {key: self.given[key] for key in hashes if key in self.given}
        unknown = sorted(hashes - set(known))
        if unknown:
            known.update(self.store.labels_by_hash(unknown, self.options.model_version))
        return known

    def _classified(self, batch: Mapping[str, Sequence[Loaded]]) -> list[Outcome]:
        import numpy as np

        pixels = np.stack([_pixels(twins[0]) for twins in batch.values()])  # (N, height, width, 3)
        began = time.monotonic()
        predictions = self.classify(pixels)
        seconds = time.monotonic() - began
        if len(predictions) != len(pixels):
            raise CountMismatch(
                f"expected {len(pixels)} answers for {len(pixels)} pictures, received "
                f"{len(predictions)}; nothing of this batch is stored: the classifier is at fault"
            )
        self.report.inferred += len(pixels)
        self.report.batches.append((len(pixels), self.options.batch_size, seconds))
        outcomes = []
        for (content_hash, twins), prediction in zip(batch.items(), predictions, strict=True):
            fields = self.given[content_hash] = fields_of(prediction)
            outcomes += [labelled(loaded, fields) for loaded in twins]
        return outcomes

    def _store(self, outcomes: list[Outcome]) -> None:
        options = self.options
        crawl = self.shard.crawl
        written = self.store.store(crawl, options.owner, options.model_version, outcomes)
        self.report.stored(outcomes, written)

    def _renew(self, paths: set[str]) -> None:
        options = self.options
        self.store.renew(self.shard.crawl, options.owner, sorted(paths), options.lease_seconds)


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


def _give_back(store: Store, crawl: str, owner: str) -> None:
    """Release the leases after an error; what the error was matters more than a failure here."""
    try:
        store.release(crawl, owner)
    except Exception as error:  # noqa: BLE001 - the first error is the one to be raised
        log.warning("leases of %s were not given back and must run out: %s", owner, error)
