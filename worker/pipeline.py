"""The heart: one shard of paths, from the claim to the last row.

Who owns what: the *store* owns the leases and the rows; *decode* owns the threads that open
files, and how far they run ahead; *classify* owns the networks, and `worker.batching` what goes
into them; `run_shard` owns the order of things and nothing else. It never raises because of one
picture: each ends as one outcome.
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
from worker.batching import Batching, Classify
from worker.report import Report

if TYPE_CHECKING:
    from cascade.pictures.decode import Loaded

log = logging.getLogger(__name__)

Decode = Callable[[Iterable[FileState], Sequence[str]], Iterator["Loaded"]]


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
    """`run_shard` for several of one crawl, without a pause in between.

    Each is claimed when the decoder comes to it, while the networks still work on the one before.
    """
    stream = iter(shards)
    first = next(stream, None)
    if first is None:
        return ShardResult(options.stop.is_set(), 0, None)
    known = partial(store.labels_by_hash, model_version=options.model_version)
    batching = Batching(classify, known, options.batch_size, report)
    work = _Work(first.crawl, first.roots, store, decode, batching, options, report)
    try:
        work.run(work.claimed(chain([first], stream)))
        work.run_suspects()
    except BaseException:
        _give_back(store, first.crawl, options.owner)
        raise
    if options.stop.is_set():
        store.release(first.crawl, options.owner)
    return ShardResult(options.stop.is_set(), work.busy, work.busy_seconds)


@dataclass
class _Work:
    """The collaborators of one crawl, and what was claimed of it."""

    crawl: str
    roots: tuple[str, ...]
    store: Store
    decode: Decode
    batching: Batching
    options: PipelineOptions
    report: Report
    unsettled: set[str] = field(default_factory=set)  # leased, and not yet handed to be stored
    suspects: list[FileState] = field(default_factory=list)
    busy: int = 0
    busy_seconds: float | None = None

    def claimed(self, shards: Iterable[Shard]) -> Iterator[FileState]:
        """The files to be worked; each shard is claimed when its first file is asked for."""
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
            )
            self.report.claimed(claim)
            self.suspects += claim.suspects
            self.busy += len(claim.busy)
            self.busy_seconds = claim.busy_seconds or self.busy_seconds
            self.unsettled.update(file.path for file in claim.todo)
            yield from claim.todo

    def run_suspects(self) -> None:
        """Run them one by one, each under a lease that says so."""
        options = self.options
        for file in self.suspects:
            if options.stop.is_set():
                return
            lease = (options.owner, options.lease_seconds, options.model_version)
            if self.store.claim_alone(self.crawl, file.path, *lease):
                self.unsettled.add(file.path)
                self.run([file])
            else:
                self.report.skipped(1)

    def run(self, files: Iterable[FileState]) -> None:
        """Label leased files. A batch is committed while the next ones are classified."""
        renewed = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="store") as writer:
            writing: Future[None] | None = None
            for outcomes in self.batching.outcomes(self.decode(files, self.roots)):
                if writing is not None:
                    writing.result()
                writing = writer.submit(self._store, outcomes)
                self.unsettled.difference_update(outcome.path for outcome in outcomes)
                if self.options.stop.is_set():
                    break
                if time.monotonic() - renewed > self.options.lease_seconds / 3:
                    self._renew(self.unsettled)
                    renewed = time.monotonic()
            if writing is not None:
                writing.result()

    def _store(self, outcomes: list[Outcome]) -> None:
        options = self.options
        written = self.store.store(self.crawl, options.owner, options.model_version, outcomes)
        self.report.stored(outcomes, written)

    def _renew(self, paths: set[str]) -> None:
        options = self.options
        self.store.renew(self.crawl, options.owner, sorted(paths), options.lease_seconds)


def _give_back(store: Store, crawl: str, owner: str) -> None:
    """Release the leases after an error; what the error was matters more than a failure here."""
    try:
        store.release(crawl, owner)
    except Exception as error:  # noqa: BLE001 - the first error is the one to be raised
        log.warning("leases of %s were not given back and must run out: %s", owner, error)
