"""Label rows again with another model, in this process or through the queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from sqlalchemy.engine import Engine

from db import relabelling
from db.chunks import chunks
from db.records import FileState
from db.writes import backend_digests
from worker.enqueue import CeleryPublisher
from worker.lease_owners import expire_dead_owners
from worker.local import LocalRun, shards
from worker.model_loader import Model
from worker.report import Report
from worker.settings import Settings


def relabel(
    engine: Engine, model: Model, settings: Settings, stop: threading.Event, report: Report
) -> None:
    """Label the rows that `db.relabelling.begin` chose. It can be stopped, killed and repeated."""
    store = relabelling.open_relabels(engine)
    expire_dead_owners(store, name=settings.worker_name)
    crawls = (
        shards(crawl, _waiting_files(engine, crawl), settings.roots)
        for crawl in relabelling.pending_by_crawl(engine, model.version)
    )
    LocalRun(store, model, settings, stop).label_crawls(crawls, report, reopen=False)


def enqueue(engine: Engine, model_version: str, settings: Settings) -> int:
    """Publish the rows that wait for `model_version` in shards; returns how many paths.

    Publishing twice does no harm: a row is leased by one worker and labelled once.

    Raises:
        BrokerUnreachable: the rest was not published; run it again.
    """
    publisher, sent = CeleryPublisher(settings, backend_digests.known(engine)), 0
    try:
        for crawl in relabelling.pending_by_crawl(engine, model_version):
            for files in chunks(_waiting_files(engine, crawl), settings.shard_size):
                publisher.publish(
                    crawl,
                    [file.path for file in files],
                    roots=settings.roots,
                    model_version=model_version,
                    priority="low",  # new pictures first
                    relabel=True,
                )
                sent += len(files)
    finally:
        publisher.close()
    return sent


def _waiting_files(engine: Engine, crawl: str) -> Iterator[FileState]:
    return (FileState(path) for path, _ in relabelling.pending_paths(engine, crawl))
