"""Label pictures in this process, without a queue: ``label`` and ``relabel``."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from db.catalogue import Catalogue
from db.chunks import chunks
from db.records import FileState
from worker.concurrency import batch_size
from worker.crawlers.listed import add_listed
from worker.decode import Decoder, decode_thread_count
from worker.lease_owners import this_owner
from worker.model_loader import Model, backend_of
from worker.pipeline import PipelineOptions, Shard, Store, run_shards
from worker.report import Report
from worker.settings import Settings
from worker.sources.loading import file_loader
from worker.sources.row_files import row_loader
from worker.sources.scan import SkippedFiles, Source, require_readable_folder

# one claim, so one transaction; after a kill at most this many pictures are run one by one
PATHS_PER_SHARD = 1024


@dataclass(frozen=True)
class LocalRun:
    """Labels in this process, with one store, one model and one set of settings.

    Set `stop` to ask for a clean stop.
    """

    store: Store
    model: Model
    settings: Settings
    stop: threading.Event

    def label(
        self,
        sources: Sequence[Source],
        report: Report,
        skipped: SkippedFiles,
        *,
        again: bool = False,
    ) -> None:
        """Label the sources one after the other; stops cleanly when `stop` is set.

        With `again`, also what was forgotten or archived.

        Raises:
            RootGone: a folder went away meanwhile. The finished pictures are in the catalogue.
        """
        crawls = self._shards_of(sources, skipped, report, again)
        self.label_crawls(crawls, report, again=again, trusted=True)

    def label_crawls(
        self,
        crawls: Iterable[Iterable[Shard]],
        report: Report,
        *,
        reopen: bool = True,
        again: bool = False,
        trusted: bool = False,
    ) -> None:
        """Label the shards of each crawl; a crawl is prepared when the one before is finished.

        With `trusted`, a person named the paths, and addresses are opened without roots too. Paths
        of rows are not trusted (`worker.sources.row_files`).
        """
        size = batch_size(self.settings, self.model, PATHS_PER_SHARD)
        options = PipelineOptions(
            owner=this_owner(name=self.settings.worker_name),
            model_version=self.model.version,
            batch_size=size,
            lease_seconds=self.settings.lease_seconds,
            reopen=reopen,
            again=again,
            backend=backend_of(self.model),
            feature_digest=self.model.feature_digest(),
            stop=self.stop,
        )
        load = (file_loader if trusted else row_loader)(self.model.preprocessing)
        threads = decode_thread_count(self.settings.decode_threads)
        ahead, patience = 2 * size, math.inf
        with Decoder(
            load, threads=threads, ahead=ahead, stop=self.stop, patience=patience
        ) as decode:
            for shards in crawls:
                run_shards(
                    shards,
                    store=self.store,
                    decode=decode,
                    classify=self.model.classify,
                    options=options,
                    report=report,
                )
                if self.stop.is_set():
                    return

    def _shards_of(
        self, sources: Iterable[Source], skipped: SkippedFiles, report: Report, again: bool
    ) -> Iterator[Iterable[Shard]]:
        for source in sources:
            if source.folder is not None:
                require_readable_folder(source.folder)
            if source.listed is not None:
                yield self._listed(source, skipped, report, again)
            else:
                yield shards(source.crawl, source.files(skipped), source.roots)

    def _listed(
        self, source: Source, skipped: SkippedFiles, report: Report, again: bool
    ) -> Iterator[Shard]:
        """The shards of a manifest or feed, whose rows are written before they are claimed."""
        assert isinstance(self.store, Catalogue)
        for listed in chunks(source.rows(skipped), PATHS_PER_SHARD):
            paths = [row.path for row in listed]
            gone = set() if again else self.store.withheld(source.crawl, paths)
            report.gone += len(gone)
            report.count_skipped(len(gone))
            rows = [row for row in listed if row.path not in gone]
            _, rejected = add_listed(self.store, source.crawl, rows, self.model.version)
            report.count_stored(rejected, len(rejected))
            there = [row for row in rows if row.failure is None]
            report.done += (known := len(rows) - len(there) - len(rejected))
            report.count_skipped(known)
            files = [FileState(row.path, row.size, row.mtime) for row in there]
            yield Shard(source.crawl, files, source.roots)


def shards(crawl: str, files: Iterable[FileState], roots: tuple[str, ...]) -> Iterator[Shard]:
    """Split the files of a crawl into shards of `PATHS_PER_SHARD`."""
    for chunk in chunks(files, PATHS_PER_SHARD):
        yield Shard(crawl, chunk, roots)


def count_files(sources: Sequence[Source]) -> int | None:
    """How many files there are, by an extra walk; None if a list can be read only once."""
    if not all(source.repeatable for source in sources):
        return None
    return sum(1 for source in sources for _ in source.files(SkippedFiles()))
