"""The Celery task: label one shard of paths, and retry it if it fails."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

from celery import Task
from celery.exceptions import Reject
from kombu.exceptions import OperationalError

from db.errors import CatalogueError, DatabaseRefuses, InvalidRecord, SchemaError
from db.records import FileState
from db.relabelling import open_relabels
from worker.concurrency import batch_size
from worker.errors import HostTrouble, WorkerError
from worker.lease_owners import expire_dead_owners
from worker.model_loader import Model, backend_of, register_model
from worker.pipeline import PipelineOptions, Shard, ShardResult, run_shard
from worker.queue import metrics, shard_times
from worker.queue.app import MAX_RETRY_DELAY_SECONDS, app
from worker.queue.backend_digests import HEADER, require_same_files
from worker.queue.lifecycle import Resources, resources
from worker.queue.messages import TASK
from worker.report import Report
from worker.sources.object_store import is_below
from worker.sources.paths import is_url, to_os_path

log = logging.getLogger(__name__)

# A shard of poison pictures only needs 2 + 2 x 128 deliveries; the rest is for outages: with pauses
# of up to a minute they last half a day. After that the rows wait for `requeue --stale`.
MAX_RETRIES = 1000
WITHOUT_LIMIT = 10**9  # the host's trouble: no verdict on the shard, however long it lasts
PERMANENT = (DatabaseRefuses, InvalidRecord, SchemaError)
PUT_OFF_SECONDS = 30.0  # the first pause of a row that was put off


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
    """Label `paths` of `crawl`; acknowledged when each row is committed or is another worker's.

    With `relabel`, the new labels are kept beside the catalogue until they are promoted.

    If something other than a picture fails (database, disk, networks), the shard is retried after
    a pause that grows. After a stop it is sent again at once.
    """
    report = Report()
    try:
        held = resources()
        files = [FileState(path) for path in paths]
        work = Shard(crawl, files, effective_roots(tuple(roots), held.settings.roots))
        again = _delivered_again(self)
        model = held.models.get(model_version)
        require_same_files(held.catalogue, model, (self.request.headers or {}).get(HEADER))
        result = _run(held, work, model, report, relabel=relabel, delivered_again=again)
    except Exception as error:
        metrics.record_failed_shard(type(error).__name__)
        context = {"crawl": crawl, "shard": shard}
        unexpected = not isinstance(error, WorkerError | CatalogueError)  # log its traceback
        # somebody must grant, mend or upgrade something: the shard waits for it
        level = logging.ERROR if isinstance(error, PERMANENT) else logging.WARNING
        log.log(level, "shard will be retried: %s", error, extra=context, exc_info=unexpected)
        _retry(self, 2.0 ** min(self.request.retries, 6), error)
        return
    seconds = time.monotonic() - report.started
    metrics.record_shard(report, seconds)
    if report.processed:
        shard_times.record(held.settings, seconds)
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
        _retry(self, 0.0, None)
    elif result.busy or result.put_off:
        put_off_seconds = (result.put_off_seconds or PUT_OFF_SECONDS) if result.put_off else 0.0
        _retry(self, max(result.busy_seconds or 0.0, put_off_seconds) + 0.5, None)


# a shard whose process died is sent again after `default_retry_delay`: soon, since the leases of a
# dead process are expired at once
label_shard: Task = app.task(bind=True, name=TASK, max_retries=MAX_RETRIES, default_retry_delay=1)(
    _label_shard
)


def _delivered_again(task: Task) -> bool:
    """Whether the shard was taken before: its process may have died."""
    request = task.request
    return bool(request.retries or (request.delivery_info or {}).get("redelivered"))


def _run(
    held: Resources,
    work: Shard,
    model: Model,
    report: Report,
    *,
    relabel: bool,
    delivered_again: bool,
) -> ShardResult:
    store = open_relabels(held.catalogue.engine) if relabel else held.catalogue
    name = held.settings.worker_name
    if delivered_again:
        # before the claim: a picture of this shard may kill this process too, and a lease that has
        # run out by the next delivery no longer counts as a death
        expire_dead_owners(store, name=name)
    if model is not held.models.default():
        register_model(held.catalogue, model)
    options = PipelineOptions(
        owner=held.owner,
        model_version=model.version,
        batch_size=batch_size(held.settings, model, held.settings.shard_size),
        lease_seconds=held.settings.lease_seconds,
        reopen=False,
        backend=backend_of(model),
        feature_digest=model.feature_digest(),
        stop=held.stop,
    )
    parts = {"store": store, "decode": held.decoder(model), "classify": model.classify}
    result = run_shard(work, **parts, options=options, report=report)  # type: ignore[arg-type]
    if result.busy and not result.stopped and expire_dead_owners(store, name=name):
        # the leases belonged to dead processes of this machine: no need to wait for them
        report.busy = report.put_off = 0
        result = run_shard(work, **parts, options=options, report=report)  # type: ignore[arg-type]
    return result


def effective_roots(requested: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    """The roots that files must be in: the requested ones if `own` roots contain all of them.

    Links in the roots are followed once, here: what was compared is what is used, so a link that
    is changed afterwards leads nowhere else.
    """
    wanted = tuple(_resolved(to_os_path(root)) for root in requested)
    allowed = tuple(_resolved(root) for root in own)
    inside = all(any(_contains(each, root) for each in allowed) for root in wanted)
    return wanted if wanted and inside else allowed


def _resolved(root: str) -> str:
    return root.rstrip("/") if is_url(root) else os.path.realpath(root)


def _contains(allowed: str, root: str) -> bool:
    if is_url(root):
        return root == allowed or is_below(root, allowed)
    return f"{root}/".startswith(allowed.rstrip("/") + "/")


def longest_pause(visibility_timeout: float) -> float:
    """The longest pause of a shard, in seconds.

    A worker holds the message meanwhile. Beyond the visibility timeout Redis would deliver it a
    second time, and each of the two would be retried: the copies would double with every pause.
    """
    return min(MAX_RETRY_DELAY_SECONDS, visibility_timeout / 2)


def _retry(task: Task, pause_seconds: float, error: BaseException | None) -> None:
    """Send the shard again; if the broker refuses it, requeue this message instead.

    Celery itself would drop the message then.
    """
    options = task.app.conf.broker_transport_options
    pause_seconds = min(pause_seconds, longest_pause(options["visibility_timeout"]))
    try:
        limit = WITHOUT_LIMIT if isinstance(error, HostTrouble) else MAX_RETRIES
        retry = task.retry(countdown=pause_seconds, throw=False, max_retries=limit)
    except (Reject, OperationalError) as refused:
        raise Reject(str(error or refused), requeue=True) from refused
    raise retry
