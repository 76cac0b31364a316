"""Label folders in this very process: `run_shard` over shards of a thousand paths."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from db.records import FileState
from worker.concurrency import batch_size
from worker.decode import Decoder, Load, thread_count
from worker.lease_owners import this_owner
from worker.model_loader import Model
from worker.pipeline import PipelineOptions, Shard, Store, run_shards
from worker.report import Report
from worker.settings import Settings
from worker.sources.paths import is_url
from worker.sources.scan import Found, Source, check_root

if TYPE_CHECKING:
    from cascade.pictures.decode import Loaded
    from cascade.pictures.preprocessing import Preprocessing

# one claim, so one transaction; after a kill this many pictures at most are run one by one
PATHS_A_SHARD = 1024


@dataclass(frozen=True)
class LocalRun:
    """What labels in this process: a catalogue, a model, the settings, and a way to stop it."""

    store: Store
    model: Model
    settings: Settings
    stop: threading.Event

    def label(self, sources: Sequence[Source], report: Report, found: Found) -> None:
        """Work through the sources, one after the other; stops cleanly when `stop` is set.

        Raises:
            RootGone: a folder went away on the way. What was finished is in the catalogue.
        """
        size = batch_size(self.settings, self.model, PATHS_A_SHARD)
        options = PipelineOptions(
            owner=this_owner(),
            model_version=self.model.version,
            batch_size=size,
            lease_seconds=self.settings.lease_seconds,
            stop=self.stop,
        )
        load = loader(self.model)
        threads = thread_count(self.settings.decode_threads)
        with Decoder(load, threads=threads, ahead=2 * size) as decode:
            for source in sources:
                if source.folder is not None:
                    check_root(source.folder)
                files = chunks(source.files(found), PATHS_A_SHARD)
                run_shards(
                    (Shard(source.crawl, each, source.roots) for each in files),
                    store=self.store,
                    decode=decode,
                    classify=self.model.classify,
                    options=options,
                    report=report,
                )
                if self.stop.is_set():
                    return


def loader(model: Model) -> Load:
    """What opens one file the way that the model was trained on."""
    return opener(model.preprocessing)


def opener(preprocessing: Preprocessing) -> Load:
    """What opens one file, on a disk or in an object store, as `preprocessing` says."""
    from cascade.pictures import decode
    from worker.sources import object_store

    def load(path: str, roots: Sequence[str]) -> Loaded:
        if is_url(path):
            return object_store.load(path, preprocessing, roots)
        return decode.load(path, preprocessing, roots)

    return load


def chunks(files: Iterable[FileState], size: int) -> Iterator[list[FileState]]:
    """The files in lists of `size`, the last one shorter."""
    iterator = iter(files)
    while chunk := list(islice(iterator, size)):
        yield chunk


def count(sources: Sequence[Source]) -> int | None:
    """How many files there are, by a walk of their own; None where a list can be read only once."""
    if not all(source.repeatable for source in sources):
        return None
    return sum(1 for source in sources for _ in source.files(Found()))
