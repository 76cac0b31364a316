"""Write paths into the catalogue and publish them in shards, for commands and for crawlers:

    with Enqueuer("spring", roots=["/data/crawl"]) as enqueuer:
        for path, url in crawler:
            enqueuer.add(path, url=url)

A row is written before its message is published: ``requeue --stale --lost`` finds a lost message
by its row, but nothing would find a row that was never written.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol

from db.catalogue import Catalogue
from db.records import PendingRow
from db.writes import backend_digests, shop_models
from db.writes.backend_digests import Digests
from worker.crawlers.listed import add_listed
from worker.errors import SettingsError
from worker.model_loader import open_model
from worker.queue.backend_digests import announce
from worker.settings import Settings, resolve
from worker.sources.paths import is_url, root_to_text
from worker.sources.scan import file_state

ROWS_PER_FLUSH = 4096  # rows per transaction
QUEUE_POLL_SECONDS = 0.5  # while the queue is too long


class Publisher(Protocol):
    """Takes shards: the queue, or a list in the tests of a crawler."""

    def publish(
        self,
        crawl: str,
        paths: Sequence[str],
        *,
        roots: Sequence[str],
        model_version: str | None,
        priority: str,
    ) -> None: ...

    def length(self) -> int: ...

    def close(self) -> None: ...


class CeleryPublisher:
    """Publishes shards as messages on the broker of the settings.

    Args:
        settings: where the broker is.
        digests: by model version, the digest of each backend (`worker.queue.backend_digests`).
    """

    def __init__(
        self, settings: Settings, digests: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        from worker.queue.app import client_app

        self._settings, self._digests = settings, digests or {}
        self._app = client_app(settings)

    def publish(
        self,
        crawl: str,
        paths: Sequence[str],
        *,
        roots: Sequence[str],
        model_version: str | None,
        priority: str,
        relabel: bool = False,
    ) -> None:
        """Send one shard; with `relabel`, the new labels are kept apart until they are promoted.

        Raises:
            BrokerUnreachable: the message was not sent; its rows are in the catalogue.
        """
        from worker.queue import backend_digests, broker
        from worker.queue.app import PRIORITIES
        from worker.queue.messages import TASK

        message: dict[str, object] = {
            "crawl": crawl,
            "paths": list(paths),
            "shard": uuid.uuid4().hex[:12],
            "roots": [root_to_text(root) for root in roots],
            "model_version": model_version,
        }
        if relabel:
            message["relabel"] = True
        # what monitors show; Celery would format, and truncate, the paths of each message
        kwargs_repr = f"{{crawl: {crawl!r}, shard: {message['shard']!r}, paths: {len(paths)}}}"
        with broker.broker_errors(self._settings):
            self._app.send_task(
                TASK,
                kwargs=message,
                kwargsrepr=kwargs_repr,
                priority=PRIORITIES[priority],
                headers=backend_digests.headers(self._digests, model_version),
            )

    def length(self) -> int:
        """Number of messages that wait on the broker."""
        from worker.queue import broker

        return broker.queue_length(self._settings)

    def close(self) -> None:
        """Close the connections to the broker."""
        self._app.close()


class Enqueuer:
    """Collects paths and enqueues them by number and by time. Thread-safe; a context manager.

    Args:
        crawl: the crawl of the rows.
        roots: the folders that contain the paths; if one is absent, its shards wait.
        settings: where broker and catalogue are; by default those of the commands.
        catalogue: used instead of the catalogue of the settings.
        publisher: used instead of the broker of the settings.
        priority: high, normal or low.
        follow_shop_rules: enqueue the pictures of a shop that has a rule (`models use --shop`) for
            its model, and the others for that of the settings; otherwise all for the latter.
        flush_seconds: the longest time that a path waits; 0 waits for `flush`, `close` or a full
            batch.
        stop: set it to end the waiting of `add` while the queue is too long.
    """

    def __init__(
        self,
        crawl: str,
        *,
        roots: Sequence[str] = (),
        settings: Settings | None = None,
        catalogue: Catalogue | None = None,
        publisher: Publisher | None = None,
        priority: str = "normal",
        follow_shop_rules: bool = True,
        flush_seconds: float = 2.0,
        stop: threading.Event | None = None,
    ) -> None:
        self.settings = settings or resolve(environ=os.environ).settings
        self.seen = self.queued = self.shards = self.failed = 0
        self._crawl, self._roots, self._priority = crawl, tuple(roots), priority
        self._follow_shop_rules = follow_shop_rules
        self._own_catalogue, self._own_publisher = catalogue is None, publisher is None
        model = open_model(self.settings.model)
        self._model_version = model.version
        # by model version; those of shops are added when they are needed
        self._digests: dict[str, Digests] = {model.version: model.backend_digests()}
        self._publisher = publisher or CeleryPublisher(self.settings, self._digests)
        self._catalogue = catalogue or Catalogue.open(self.settings.catalogue_url)
        announce(self._catalogue, model)
        self._rows: list[PendingRow] = []
        self._lock = threading.RLock()
        self._closed, self._stop = threading.Event(), stop or threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        if flush_seconds > 0:
            self._thread = threading.Thread(
                target=self._flush_by_time, args=(flush_seconds,), name="enqueuer", daemon=True
            )
            self._thread.start()

    def __enter__(self) -> Enqueuer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception as failed:
            if error is None:
                raise
            # the error of the block says what went wrong first; it must not be hidden
            error.add_note(f"what was collected could not be enqueued either: {failed}")

    def add(
        self,
        path: str | os.PathLike[str],
        *,
        url: str | None = None,
        shop: str | None = None,
        product_id: str | None = None,
    ) -> None:
        """Enqueue one path with its metadata. Waits while the queue is too long."""
        state = file_state(os.fspath(path))
        self.add_row(PendingRow(state.path, state.size, state.mtime, url, shop, product_id))

    def add_row(self, row: PendingRow) -> None:
        """Enqueue one row. Waits while the queue is too long."""
        if self._closed.is_set():
            raise SettingsError("this Enqueuer is closed; make a new one")
        with self._lock:
            self._rows.append(row)  # before anything that may raise: what was given is kept
            self.seen += 1
            self._raise_from_thread()
            if len(self._rows) >= ROWS_PER_FLUSH:
                self.flush()

    def flush(self) -> None:
        """Write and publish the collected paths now.

        Raises:
            BrokerUnreachable: the rows are written; publish them with `requeue --stale --lost`.
            CatalogueError: nothing was published; the paths are kept for the next flush.
        """
        with self._lock:
            while self._rows:
                rows = self._rows[:ROWS_PER_FLUSH]
                for version, part in self._by_model(rows).items():
                    work, rejected = add_listed(self._catalogue, self._crawl, part, version)
                    self.failed += len(rejected)
                    # only now, when they are committed: a failed transaction must lose none
                    done = set(map(id, part))
                    self._rows = [row for row in self._rows if id(row) not in done]
                    self._publish(work, version)

    def _by_model(self, rows: Sequence[PendingRow]) -> dict[str, list[PendingRow]]:
        """The rows by the model that is to label them: that of their shop, or the settings'."""
        engine, rules = self._catalogue.engine, {}
        if self._follow_shop_rules:
            rules = {rule.shop: rule.version for rule in shop_models.rules(engine)}
        if not rules:
            return {self._model_version: list(rows)}
        unnamed = [row.path for row in rows if row.shop is None]
        known = shop_models.known_shops(engine, self._crawl, unnamed)
        found: dict[str, list[PendingRow]] = {}
        for row in rows:
            shop = known.get(row.path, "") if row.shop is None else row.shop
            found.setdefault(rules.get(shop, self._model_version), []).append(row)
        if found.keys() - self._digests.keys():
            for version, digests in backend_digests.known(engine).items():
                self._digests.setdefault(version, digests)
        return found

    def _publish(self, work: Sequence[str], model_version: str) -> None:
        size = self.settings.shard_size
        for start in range(0, len(work), size):
            self._wait_for_room()
            self._publisher.publish(
                self._crawl,
                work[start : start + size],
                roots=self._roots,
                model_version=model_version,
                priority=self._priority,
            )
            self.queued += len(work[start : start + size])
            self.shards += 1

    def close(self) -> None:
        """Enqueue the rest and close the connections. A second call does nothing.

        An error of a flush by time that no call has raised yet is raised when the rest is done.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.flush()
            self._raise_from_thread()
        finally:
            if self._own_catalogue:
                self._catalogue.close()
            if self._own_publisher:
                self._publisher.close()

    def _wait_for_room(self) -> None:
        """Back-pressure: wait while the queue is too long; checked every 64 shards."""
        if self.shards % 64:
            return
        while self._publisher.length() >= self.settings.max_queue_length:
            if self._stop.wait(QUEUE_POLL_SECONDS):
                return

    def _flush_by_time(self, seconds: float) -> None:
        while not self._closed.wait(seconds):
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001 - the next call of add or close raises it
                self._error = error

    def _raise_from_thread(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error


def root_of(source: str) -> str:
    """The root of a folder or URL argument."""
    return source if is_url(source) else os.path.abspath(source)  # noqa: PTH100
