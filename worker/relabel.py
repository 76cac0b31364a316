"""Relabelling, in this process or by the queue: the pipeline over rows that wait for a model."""

from __future__ import annotations

import threading

from sqlalchemy.engine import Engine

from db import relabelling
from db.records import FileState
from worker.concurrency import batch_size
from worker.decode import Decoder, thread_count
from worker.enqueue import CeleryPublisher
from worker.lease_owners import expire_dead, this_owner
from worker.local import PATHS_A_SHARD, chunks, loader
from worker.model_loader import Model
from worker.pipeline import PipelineOptions, Shard, run_shards
from worker.report import Report
from worker.settings import Settings


def relabel(
    engine: Engine, model: Model, settings: Settings, stop: threading.Event, report: Report
) -> None:
    """Work on what `db.relabelling.begin` has chosen; can be stopped, killed and begun again."""
    store = relabelling.open_relabels(engine)
    expire_dead(store)
    size = batch_size(settings, model, PATHS_A_SHARD)
    options = PipelineOptions(
        owner=this_owner(),
        model_version=model.version,
        batch_size=size,
        lease_seconds=settings.lease_seconds,
        reopen=False,
        stop=stop,
    )
    threads = thread_count(settings.decode_threads)
    with Decoder(loader(model), threads=threads, ahead=2 * size) as decode:
        for crawl in relabelling.waiting(engine, model.version):
            paths = (FileState(path) for path, _ in relabelling.pending_paths(engine, crawl))
            files = chunks(paths, PATHS_A_SHARD)
            run_shards(
                (Shard(crawl, each, settings.roots) for each in files),
                store=store,
                decode=decode,
                classify=model.classify,
                options=options,
                report=report,
            )
            if stop.is_set():
                return


def enqueue(engine: Engine, model_version: str, settings: Settings) -> int:
    """Publish what waits for `model_version`, in shards; workers load that model. How many paths.

    Publishing twice does no harm: a row is leased by one worker, and done once.

    Raises:
        BrokerUnreachable: the rest was not published; run it again.
    """
    publisher, sent = CeleryPublisher(settings), 0
    try:
        for crawl in relabelling.waiting(engine, model_version):
            paths = (FileState(path) for path, _ in relabelling.pending_paths(engine, crawl))
            for files in chunks(paths, settings.shard_size):
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
