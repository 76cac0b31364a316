"""The pipeline: label one shard of paths, from the claim to the last row.

Who owns what: the *store* owns the leases and the rows. *decode* owns the threads that open files
and limits how far they run ahead. *classify* owns the networks, and `worker.batching` builds their
batches. `run_shard` owns the order of the steps and nothing else. A single picture never makes it
raise: each picture ends as one outcome.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from db.records import Claim, FileState, LabelFields, Outcome
from worker.batching import BatchClassifier, Classify
from worker.report import Report

if TYPE_CHECKING:
    from cascade.pictures.decode import Loaded

log = logging.getLogger(__name__)

# what ended the shard is often what refuses the release: a database that starts again
RELEASE_PAUSES = (0.1, 0.5, 2.0, 5.0)

Decode = Callable[[Iterable[FileState], Sequence[str]], Iterator["Loaded"]]


class Store(Protocol):
    """What the pipeline needs of a catalogue; ``db.catalogue.Catalogue`` documents each method."""

    def claim(
        self,
        crawl: str,
        files: Sequence[FileState],
        owner: str,
        lease_seconds: float,
        model_version: str,
        *,
        reopen: bool = True,
        again: bool = False,
    ) -> Claim: ...

    def claim_alone(
        self,
        crawl: str,
        path: str,
        owner: str,
        lease_seconds: float,
        model_version: str,
        *,
        generation: int | None = None,
    ) -> bool: ...

    def renew(self, crawl: str, owner: str, paths: Sequence[str], lease_seconds: float) -> int: ...

    def labels_by_hash(
        self, hashes: Sequence[str], model_version: str, *, with_vector: str | None = None
    ) -> Mapping[str, LabelFields]: ...

    def store(
        self,
        crawl: str,
        owner: str,
        model_version: str,
        outcomes: Sequence[Outcome],
        *,
        generations: Mapping[str, int | None] | None = None,
        again: bool = False,
    ) -> int: ...

    def release(self, crawl: str, owner: str) -> int: ...


@dataclass(frozen=True)
class Shard:
    """Some files of one crawl. They must be inside one of `roots`, unless `roots` is empty."""

    crawl: str
    files: Sequence[FileState]
    roots: tuple[str, ...] = ()


@dataclass(frozen=True)
class PipelineOptions:
    """How to run a shard.

    Attributes:
        owner: names this process in the leases (`worker.lease_owners`).
        model_version: the model whose labels are stored.
        batch_size: pictures in one batch.
        lease_seconds: how long a claim lasts unless it is renewed.
        reopen: label finished rows again if their file changed or another model labelled them, and
            add rows for new files.
        again: with `reopen`, also those that were forgotten or archived.
        backend: what the networks run on, and the digest of its files.
        feature_digest: keep the vectors of pictures under this digest; None: there are none.
        stop: set it to ask for a clean stop.
    """

    owner: str
    model_version: str
    batch_size: int = 64
    lease_seconds: float = 300.0
    reopen: bool = True
    again: bool = False
    backend: tuple[str | None, str | None] = (None, None)
    feature_digest: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class ShardResult:
    """What is left: nothing, unless it was stopped, others hold paths, or some are put off."""

    stopped: bool
    busy: int
    busy_seconds: float | None
    put_off: int = 0
    put_off_seconds: float | None = None  # None: put off just now


def run_shard(
    shard: Shard,
    *,
    store: Store,
    decode: Decode,
    classify: Classify,
    options: PipelineOptions,
    report: Report,
) -> ShardResult:
    """Claim, decode ahead, classify full batches, store each batch while the next one runs.

    A stop finishes the current batch and releases the other leases. An exception releases them
    too. Pictures whose worker died before are run one by one, after the others.

    Raises:
        HostTrouble: no file can be read for now, or their folder went away (RootGone); nothing
            is recorded about the pictures that were not read.
        CountMismatch: the classifier returned too few or too many answers; none was stored.
        Exception: whatever the store or the classifier raises.
    """
    parts = {"store": store, "decode": decode, "classify": classify}
    return run_shards([shard], **parts, options=options, report=report)  # type: ignore[arg-type]


def run_shards(
    shards: Iterable[Shard],
    *,
    store: Store,
    decode: Decode,
    classify: Classify,
    options: PipelineOptions,
    report: Report,
) -> ShardResult:
    """Run several shards of one crawl without a pause between them; see `run_shard`.

    A shard is claimed when the decoder reaches it, while the networks still work on the previous
    one.
    """
    remaining = iter(shards)
    first = next(remaining, None)
    if first is None:
        return ShardResult(options.stop.is_set(), 0, None)
    known_labels = partial(
        store.labels_by_hash,
        model_version=options.model_version,
        with_vector=options.feature_digest,
    )
    what = (options.batch_size, report, options.backend)
    digest = options.feature_digest
    batches = BatchClassifier(classify, known_labels, *what, feature_digest=digest)
    run = _CrawlRun(first.crawl, first.roots, store, decode, batches, options, report)
    try:
        run.label(run.claim_files(chain([first], remaining)))
        run.label_suspects()
    except BaseException:
        _release_after_error(store, first.crawl, options)
        raise
    if options.stop.is_set():
        _release(store, first.crawl, options)
    return ShardResult(
        options.stop.is_set(), run.busy, run.busy_seconds, report.put_off, run.put_off_seconds
    )


@dataclass
class _CrawlRun:
    """The collaborators of one run over a crawl, and what it has claimed."""

    crawl: str
    roots: tuple[str, ...]
    store: Store
    decode: Decode
    batches: BatchClassifier
    options: PipelineOptions
    report: Report
    # generation by path: claimed, and not yet passed to the store
    leased: dict[str, int | None] = field(default_factory=dict)
    suspects: list[FileState] = field(default_factory=list)
    busy: int = 0
    busy_seconds: float | None = None
    put_off_seconds: float | None = None

    def claim_files(self, shards: Iterable[Shard]) -> Iterator[FileState]:
        """Yield the files to label. A shard is claimed when its first file is requested."""
        options = self.options
        for shard in shards:
            if options.stop.is_set():
                return
            claim = self.store.claim(
                self.crawl,
                shard.files,
                options.owner,
                options.lease_seconds,
                options.model_version,
                reopen=options.reopen,
                again=options.again,
            )
            self.report.count_claim(claim)
            if claim.gone:
                log.info(
                    "%s pictures of %s are not in the catalogue: forgotten, archived or deleted",
                    len(claim.gone),
                    self.crawl,
                )
            self.suspects += claim.suspects
            self.busy += len(claim.busy)
            self.busy_seconds = claim.busy_seconds or self.busy_seconds
            self.put_off_seconds = claim.put_off_seconds or self.put_off_seconds
            self.leased.update((file.path, file.generation) for file in claim.todo)
            yield from claim.todo

    def label_suspects(self) -> None:
        """Label the suspects one by one, each under a lease that is marked as alone."""
        options = self.options
        for file in self.suspects:
            if options.stop.is_set():
                return
            lease = (options.owner, options.lease_seconds, options.model_version)
            held = self.store.claim_alone(self.crawl, file.path, *lease, generation=file.generation)
            if held:
                self.leased[file.path] = file.generation
                self.label([file])
            else:
                self.report.count_skipped(1)

    def label(self, files: Iterable[FileState]) -> None:
        """Label leased files. A batch is committed while the next ones are classified."""
        renewed = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="store") as writer:
            writing: Future[None] | None = None
            for outcomes in self.batches.outcomes(self.decode(files, self.roots)):
                if writing is not None:
                    writing.result()
                generations = {o.path: self.leased.pop(o.path, None) for o in outcomes}
                writing = writer.submit(self._store, outcomes, generations)
                if self.options.stop.is_set():
                    break
                if time.monotonic() - renewed > self.options.lease_seconds / 3:
                    self._renew(self.leased)
                    renewed = time.monotonic()
            if writing is not None:
                writing.result()

    def _store(self, outcomes: list[Outcome], generations: Mapping[str, int | None]) -> None:
        options = self.options
        written = self.store.store(
            self.crawl,
            options.owner,
            options.model_version,
            outcomes,
            generations=generations,
            again=options.again,
        )
        self.report.count_stored(outcomes, written)
        # rows that are no longer ours (the lease ran out while this process was suspended) are
        # another worker's: the message must not be acknowledged before they are done
        self.busy += len(outcomes) - written

    def _renew(self, paths: Iterable[str]) -> None:
        options = self.options
        self.store.renew(self.crawl, options.owner, sorted(paths), options.lease_seconds)


def _release(store: Store, crawl: str, options: PipelineOptions) -> None:
    """Release the leases; tried again after growing pauses, or without any once it must stop."""
    for pause in RELEASE_PAUSES:
        try:
            store.release(crawl, options.owner)
        except Exception as error:  # noqa: BLE001 - whatever it was, it may be over soon
            log.debug("leases of %s are released in %s s: %s", options.owner, pause, error)
            options.stop.wait(pause)
        else:
            return
    store.release(crawl, options.owner)


def _release_after_error(store: Store, crawl: str, options: PipelineOptions) -> None:
    """Release the leases; a failure here is only logged, since the first error matters more."""
    try:
        _release(store, crawl, options)
    except Exception as error:  # noqa: BLE001 - the first error is the one to be raised
        log.warning("leases of %s were not released and must expire: %s", options.owner, error)
