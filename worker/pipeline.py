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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from db.records import Claim, FileState, LabelFields, Outcome
from worker.batching import Batching, Classify
from worker.report import Report

if TYPE_CHECKING:
    from cascade.images import Loaded

log = logging.getLogger(__name__)

Decode = Callable[[Sequence[FileState], Sequence[str]], Iterator["Loaded"]]


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
    batching = Batching(
        classify,
        lambda hashes: store.labels_by_hash(hashes, model),
        options.batch_size,
        report,
    )
    work = _Work(shard, store, decode, batching, options, report)
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
    """The collaborators of one shard."""

    shard: Shard
    store: Store
    decode: Decode
    batching: Batching
    options: PipelineOptions
    report: Report

    def run(self, files: Sequence[FileState]) -> None:
        """Label leased files. A batch is committed while the next one is classified."""
        unsettled = {file.path for file in files}
        renewed = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="store") as writer:
            writing: Future[None] | None = None
            for outcomes in self.batching.outcomes(self.decode(files, self.shard.roots)):
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

    def _store(self, outcomes: list[Outcome]) -> None:
        options = self.options
        crawl = self.shard.crawl
        written = self.store.store(crawl, options.owner, options.model_version, outcomes)
        self.report.stored(outcomes, written)

    def _renew(self, paths: set[str]) -> None:
        options = self.options
        self.store.renew(self.shard.crawl, options.owner, sorted(paths), options.lease_seconds)


def _give_back(store: Store, crawl: str, owner: str) -> None:
    """Release the leases after an error; what the error was matters more than a failure here."""
    try:
        store.release(crawl, owner)
    except Exception as error:  # noqa: BLE001 - the first error is the one to be raised
        log.warning("leases of %s were not given back and must run out: %s", owner, error)
