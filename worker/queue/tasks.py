"""The one task: a shard of paths, from a message to its rows. All that knows Celery's ways."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

from celery import Task
from celery.exceptions import Reject
from kombu.exceptions import OperationalError

from db.errors import CatalogueError
from db.records import FileState
from db.relabelling import open_relabels
from worker.concurrency import batch_size
from worker.errors import WorkerError
from worker.lease_owners import expire_dead_owners
from worker.model_loader import register_model
from worker.pipeline import PipelineOptions, Shard, ShardResult, run_shard
from worker.queue import metrics, shard_times
from worker.queue.app import MAX_RETRY_DELAY_SECONDS, TASK, app
from worker.queue.lifecycle import Resources, resources
from worker.report import Report
from worker.sources.paths import is_url

log = logging.getLogger(__name__)

# A shard that is all poison needs 2 + 2 x 128 deliveries; the rest is for outages: with pauses of
# up to a minute this lasts half a day. After that the rows wait for `requeue --stale`.
MAX_RETRIES = 1000


def _label_shard(
    self: Task,
    *,
    crawl: str,
    paths: Sequence[str],
    shard: str,
    roots: Sequence[str] = (),
    model_version: str | None = None,
    relabel: bool = False,
) -> None:
    """Label `paths` of `crawl`. Acknowledged when every row is committed, or is another's to do.

    With `relabel`, what the model says is kept beside the catalogue until it is promoted.

    Whatever fails that is not a picture (database, disk, networks) puts the shard off: it is sent
    again after a pause that grows. A stop sends it again at once.
    """
    report = Report()
    try:
        held = resources()
        files = [FileState(path) for path in paths]
        work = Shard(crawl, files, effective_roots(tuple(roots), held.settings.roots))
        result = _run(held, work, model_version, report, relabel=relabel)
    except Exception as error:
        metrics.shard_failed(type(error).__name__)
        log.warning(
            "shard put off: %s", error, extra={"crawl": crawl, "shard": shard}, exc_info=_bug(error)
        )
        _again(self, min(MAX_RETRY_DELAY_SECONDS, 2.0 ** min(self.request.retries, 6)), error)
        return
    seconds = time.monotonic() - report.started
    metrics.shard_done(report, seconds)
    if report.processed:
        shard_times.note(held.settings, seconds)
    log.info(
        "shard %s of %s: %s labelled, %s rejected, %s done before, %.2f s, %.0f pictures/s",
        shard,
        crawl,
        report.labelled,
        report.rejected.total(),
        report.done,
        seconds,
        report.processed / seconds if seconds else 0.0,
        extra={"crawl": crawl, "shard": shard, "seconds": round(seconds, 3)},
    )
    if result.stopped:
        _again(self, 0.0, None)
    elif result.busy:
        _again(self, min(MAX_RETRY_DELAY_SECONDS, (result.busy_seconds or 0.0) + 0.5), None)


# a shard whose process died is sent again after `default_retry_delay`: soon, since the leases of
# the dead are seen to be so
label_shard: Task = app.task(bind=True, name=TASK, max_retries=MAX_RETRIES, default_retry_delay=1)(
    _label_shard
)


def _run(
    held: Resources, work: Shard, model_version: str | None, report: Report, *, relabel: bool
) -> ShardResult:
    store = open_relabels(held.catalogue.engine) if relabel else held.catalogue
    model = held.shelf.get(model_version)
    if model is not held.shelf.default():
        register_model(held.catalogue, model)
    options = PipelineOptions(
        owner=held.owner,
        model_version=model.version,
        batch_size=batch_size(held.settings, model, held.settings.shard_size),
        lease_seconds=held.settings.lease_seconds,
        reopen=False,
        stop=held.stop,
    )
    parts = {"store": store, "decode": held.decoder(model), "classify": model.classify}
    result = run_shard(work, **parts, options=options, report=report)  # type: ignore[arg-type]
    if result.busy and not result.stopped and expire_dead_owners(store):
        # the others were dead processes of this machine: their pictures need not wait
        report.busy = 0
        result = run_shard(work, **parts, options=options, report=report)  # type: ignore[arg-type]
    return result


def effective_roots(asked: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    """The roots that files must lie in: those of the crawl, where the settings allow them all."""
    if not asked:
        return own
    real = tuple(_with_end(root) for root in own)
    return asked if all(_with_end(root).startswith(real) for root in asked) else own


def _with_end(root: str) -> str:
    if is_url(root):
        return root.rstrip("/") + "/"
    return os.path.realpath(root).rstrip(os.sep) + os.sep


def _again(task: Task, pause_seconds: float, error: BaseException | None) -> None:
    """Send the shard again; where the broker does not take it, leave this message unfinished.

    Celery itself would drop the message then.
    """
    try:
        again = task.retry(countdown=pause_seconds, throw=False, max_retries=MAX_RETRIES)
    except (Reject, OperationalError) as refused:
        raise Reject(str(error or refused), requeue=True) from refused
    raise again


def _bug(error: BaseException) -> bool:
    """Whether the trace tells more than the message."""
    return not isinstance(error, WorkerError | CatalogueError)
