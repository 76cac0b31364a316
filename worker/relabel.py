"""Relabelling in this process: the pipeline over the rows that wait for a new model."""

from __future__ import annotations

import threading

from sqlalchemy.engine import Engine

from db import relabelling
from db.records import FileState
from worker.decode import Decoder, thread_count
from worker.local import PATHS_A_SHARD, chunks, loader
from worker.models import Model
from worker.owners import expire_dead, this_owner
from worker.pipeline import PipelineOptions, Shard, run_shard
from worker.report import Report
from worker.settings import Settings


def relabel(
    engine: Engine, model: Model, settings: Settings, stop: threading.Event, report: Report
) -> None:
    """Work on what `db.relabelling.begin` has chosen; can be stopped, killed and begun again."""
    store = relabelling.open_relabels(engine)
    expire_dead(store)
    options = PipelineOptions(
        owner=this_owner(),
        model_version=model.version,
        batch_size=settings.batch_size,
        lease_seconds=settings.lease_seconds,
        reopen=False,
        stop=stop,
    )
    threads = thread_count(settings.decode_threads)
    with Decoder(loader(model), threads=threads, ahead=2 * settings.batch_size) as decode:
        for crawl in relabelling.waiting(engine, model.version):
            paths = (FileState(path) for path, _ in relabelling.pending_paths(engine, crawl))
            for files in chunks(paths, PATHS_A_SHARD):
                run_shard(
                    Shard(crawl, files, settings.roots),
                    store=store,
                    decode=decode,
                    classify=model.classify,
                    options=options,
                    report=report,
                )
                if stop.is_set():
                    return
