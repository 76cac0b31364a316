"""Prometheus gauges of the whole queue and catalogue, from one process that is no worker.

A worker's metrics are its own and may be added up. What is true of the whole system is asked here,
once: were it in each worker, a sum would count it as often as there are workers.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from db import ledger
from db.catalogue import Catalogue
from db.errors import CatalogueError
from worker.errors import WorkerError
from worker.queue import broker
from worker.queue.app import PRIORITIES
from worker.queue.messages import dead_letters_key
from worker.settings import Settings

NAME = "fashion_cascade_"
UNACKED, UNACKED_SINCE = "unacked", "unacked_index"  # kombu's names of what workers have taken
PER_STEP = 1000


class Exporter:
    """Asks broker and catalogue at each scrape; what does not answer has no gauges but its `up`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._catalogue: Catalogue | None = None
        self._lock = threading.Lock()  # scrapes of two servers may overlap

    def describe(self) -> Iterator[Any]:
        """Nothing: what there is depends on what answers."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """All gauges; asked for by prometheus_client at each scrape."""
        with self._lock:
            yield from self._part("broker", self._broker)
            yield from self._part("catalogue", self._ledger)

    def _part(self, name: str, ask: Any) -> list[Any]:
        try:
            return [*ask(), _gauge(f"{name}_up", f"Whether the {name} answers.", 1)]
        except (WorkerError, CatalogueError, OSError):
            return [_gauge(f"{name}_up", f"Whether the {name} answers.", 0)]

    def _broker(self) -> Iterator[Any]:
        keys = dict(zip(PRIORITIES, broker.queue_keys(self._settings), strict=True))
        with broker.connect(self._settings) as client:
            untyped: Any = client
            waiting = {name: int(untyped.llen(key)) for name, key in keys.items()}
            taken = int(untyped.hlen(UNACKED))
            oldest = untyped.zrange(UNACKED_SINCE, 0, 0, withscores=True)
            due = list(_due(untyped))
            dead = int(untyped.llen(dead_letters_key(self._settings.queue)))
        now = time.time()
        yield _gauge("queue_length", "Messages that wait, by priority.", waiting, ["priority"])
        yield _gauge("taken_messages", "Messages that workers have taken and not finished.", taken)
        since = now - oldest[0][1] if oldest else 0.0
        yield _gauge("oldest_taken_seconds", "Since when the first of them is taken.", since)
        yield _gauge("put_off_messages", "Those of them that wait for their time.", len(due))
        first = min(due) - now if due else 0.0
        yield _gauge("put_off_due_seconds", "Until the first of those is due.", first)
        yield _gauge("dead_letters", "Messages that no worker can read.", dead)

    def _ledger(self) -> Iterator[Any]:
        began = time.monotonic()
        if self._catalogue is None:
            self._catalogue = Catalogue.open(self._settings.catalogue_url, create=False)
        engine = self._catalogue.engine
        rows: dict[tuple[str, str], int] = {}
        for crawl, counted in ledger.counts_by_crawl(engine).items():
            for (status, _), number in counted.items():
                rows[crawl, status] = rows.get((crawl, status), 0) + number
        oldest = ledger.oldest_pending_seconds(engine)
        seconds = time.monotonic() - began
        yield _gauge("ledger_rows", "Rows of the catalogue.", rows, ["crawl", "status"])
        yield _gauge("oldest_pending_seconds", "Age of the oldest waiting row.", oldest)
        yield _gauge("catalogue_seconds", "What these queries of the catalogue took.", seconds)
        if engine.url.get_backend_name() == "sqlite":
            usage = shutil.disk_usage(Path(str(engine.url.database)).parent)
            yield _gauge(
                "disk_free_ratio", "Free share of the disk of SQLite.", usage.free / usage.total
            )


def _due(client: Any) -> Iterator[float]:
    """When each message that was put off is due, in seconds since 1970."""
    for _, raw in client.hscan_iter(UNACKED, count=PER_STEP):
        try:
            eta = json.loads(raw)[0]["headers"]["eta"]
            if eta is not None:
                moment = datetime.fromisoformat(eta)
                yield (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, KeyError, IndexError):
            continue  # no shard: the worker that took it decides


def _gauge(name: str, text: str, value: Any, labels: Any = ()) -> Any:
    """A gauge with one value, or with one for each label or tuple of labels."""
    from prometheus_client.core import GaugeMetricFamily

    gauge = GaugeMetricFamily(NAME + name, text, labels=labels)
    values = value.items() if isinstance(value, dict) else [((), value)]
    for key, number in values:
        gauge.add_metric([key] if isinstance(key, str) else list(key), number)
    return gauge
