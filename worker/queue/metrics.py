"""Prometheus metrics of a worker: pictures by outcome, shard seconds, batch fill, deaths.

The processes of the pool write into files (``PROMETHEUS_MULTIPROC_DIR``); the parent serves the
sums. Nothing is imported or counted unless a port is set.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.probes import serve as serve_http

if TYPE_CHECKING:
    from worker.report import Report
    from worker.settings import Settings

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def prepare_folder(settings: Settings) -> None:
    """Create the folder that the processes write into; call it before any of them starts."""
    if settings.metrics_port and FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="fashion-cascade-metrics-")


@cache
def _metrics() -> dict[str, Any]:
    from prometheus_client import Counter, Histogram

    seconds = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
    name = "fashion_cascade_"
    return {
        "pictures": Counter(
            f"{name}pictures", "Pictures by status and reason.", ["status", "reason"]
        ),
        "same_bytes": Counter(
            f"{name}same_bytes_pictures",
            "Labelled pictures with the bytes of another one: not classified again.",
        ),
        "busy": Counter(f"{name}busy_rows", "Rows that another worker held."),
        "lost": Counter(f"{name}lost_rows", "Rows that were worked and taken over meanwhile."),
        "deaths": Counter(f"{name}process_deaths", "Processes of the pool that died."),
        "shards": Counter(f"{name}shards", "Shards by result.", ["result"]),
        "shard": Histogram(f"{name}shard_seconds", "Seconds per shard.", buckets=seconds),
        "inference": Histogram(
            f"{name}inference_seconds", "Seconds per batch in the networks.", buckets=seconds
        ),
        "fill": Histogram(
            f"{name}batch_fill",
            "Share of a batch that held pictures.",
            buckets=(0.1, 0.25, 0.5, 0.75, 0.9, 1),
        ),
        "decode": Histogram(
            f"{name}decode_wait_seconds",
            "Seconds a shard waited for pictures to be decoded.",
            buckets=seconds,
        ),
    }


def record_shard(report: Report, seconds: float) -> None:
    """Count a shard that finished or was stopped."""
    if FOLDER not in os.environ:
        return
    metrics = _metrics()
    metrics["pictures"].labels("labelled", "").inc(report.labelled)
    for reason, count in report.rejected.items():
        metrics["pictures"].labels("rejected", reason).inc(count)
    if report.quarantined:
        metrics["pictures"].labels("quarantined", "worker_died").inc(report.quarantined)
    metrics["same_bytes"].inc(max(0, report.labelled - report.inferred))
    metrics["busy"].inc(report.busy)
    metrics["lost"].inc(report.lost)
    metrics["shards"].labels("done").inc()
    metrics["shard"].observe(seconds)
    metrics["decode"].observe(report.decode_seconds)
    for size, batch_size, batch_seconds in report.batches:
        metrics["fill"].observe(size / batch_size)
        metrics["inference"].observe(batch_seconds)


def record_deaths(number: int) -> None:
    """Count processes of the pool that have gone while the worker goes on."""
    if FOLDER in os.environ:
        _metrics()["deaths"].inc(number)


def record_failed_shard(reason: str) -> None:
    """Count a shard that failed and is retried."""
    if FOLDER in os.environ:
        _metrics()["shards"].labels(reason).inc()


def serve(settings: Settings, state_folder: Path) -> None:
    """Serve the metrics, and the probes of this worker, on the port of the settings if it is set.

    Args:
        settings: of the worker.
        state_folder: where its processes touch their files.
    """
    if not settings.metrics_port or FOLDER not in os.environ:
        return
    from prometheus_client import CollectorRegistry, make_wsgi_app
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    application = serve_http.with_probes(make_wsgi_app(registry), state_folder)
    serve_http.start(application, settings.metrics_address, settings.metrics_port)
