"""An item pipeline for Scrapy: pictures are enqueued as their items arrive. In settings.py:

    ITEM_PIPELINES = {
        "scrapy.pipelines.images.ImagesPipeline": 1,
        "worker.crawlers.scrapy_pipeline.FashionCascadePipeline": 300,
    }
    IMAGES_STORE = "/data/spring"
    FASHION_CASCADE_CRAWL = "spring"

Settings of fashion-cascade are taken from those of Scrapy by the names of their variables
(``FASHION_CASCADE_BROKER_URL``), else from the environment as by the commands. The process needs
Scrapy's asyncio reactor, its default.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from db.errors import CatalogueError
from worker.configuration.declaration import PREFIX
from worker.enqueue import Enqueuer
from worker.errors import BrokerUnreachable, SettingsError
from worker.settings import Settings, resolve
from worker.sources.feeds import rows_of_item
from worker.sources.paths import is_url

log = logging.getLogger(__name__)

CRAWL_SETTING = f"{PREFIX}CRAWL"  # by default the name of the spider
STORES = ("IMAGES_STORE", "FILES_STORE")


class FashionCascadePipeline:
    """Enqueues the pictures of each item, and passes the item on unchanged.

    One thread enqueues. While the queue is too long (`max_queue_length`), items wait for it, and
    Scrapy takes no new responses: downloads go on at the pace of the workers. When the broker is
    gone, rows are in the catalogue (`requeue --stale --lost` publishes them); a catalogue that is
    gone is tried again with the next items. Either is counted in Scrapy's statistics.
    """

    def __init__(self, crawl: str, store: str, settings: Settings, stats: Any = None) -> None:
        self._crawl, self._store, self._settings, self._stats = crawl, store, settings, stats
        self._stop = threading.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._enqueuer: Enqueuer | None = None

    @classmethod
    def from_crawler(cls, crawler: Any) -> FashionCascadePipeline:
        """Made by Scrapy.

        Raises:
            SettingsError: neither IMAGES_STORE nor FILES_STORE is set, or a wrong setting.
        """
        scrapy = crawler.settings
        store = next((str(scrapy[name]) for name in STORES if scrapy.get(name)), None)
        if store is None:
            raise SettingsError(
                "FashionCascadePipeline: expected the setting IMAGES_STORE, the folder in which "
                "Scrapy's ImagesPipeline stores pictures; set it in settings.py"
            )
        own = {n: str(scrapy[n]) for n in scrapy if str(n).startswith(PREFIX)}
        crawl = own.pop(CRAWL_SETTING, None) or crawler.spider.name
        settings = resolve(environ={**os.environ, **own}).settings
        where = store.rstrip("/") if is_url(store) else os.path.abspath(store)  # noqa: PTH100
        return cls(crawl, where, settings, crawler.stats)

    def open_spider(self, spider: Any = None) -> None:
        """Connect to catalogue and broker; an error ends the crawl before its first request."""
        how: dict[str, Any] = {"roots": (self._store,), "settings": self._settings}
        self._enqueuer = Enqueuer(self._crawl, **how, stop=self._stop)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fashion-cascade")

    async def process_item(self, item: Any, spider: Any = None) -> Any:
        """Enqueue the pictures of an item; waits while the queue is too long."""
        await self._in_thread(self._add, item)
        return item

    async def close_spider(self, spider: Any = None) -> None:
        """Enqueue the rest. What waits for room in the queue is published without waiting."""
        assert self._enqueuer is not None
        assert self._thread is not None
        self._stop.set()
        await self._in_thread(self._tried, self._enqueuer.close)
        self._thread.shutdown()
        log.info(
            "crawl %s: %s pictures looked at, %s enqueued, %s not downloaded",
            self._crawl,
            self._enqueuer.seen,
            self._enqueuer.queued,
            self._enqueuer.failed,
        )

    async def _in_thread(self, function: Any, *given: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, function, *given)

    def _add(self, item: Any) -> None:
        from itemadapter import ItemAdapter  # a part of Scrapy

        assert self._enqueuer is not None
        try:
            rows = list(rows_of_item(ItemAdapter(item).asdict(), self._store))
        except ValueError as error:
            log.error("an item was not enqueued: %s", error)
            self._count("items_refused")
            return
        for row in rows:
            self._tried(self._enqueuer.add_row, row)
            self._count("pictures")

    def _tried(self, function: Any, *given: Any) -> None:
        """Call a method of the enqueuer; trouble of broker or catalogue is no fault of the item."""
        try:
            function(*given)
        except (BrokerUnreachable, CatalogueError) as error:
            log.error("%s", error)
            self._count("errors")

    def _count(self, what: str) -> None:
        if self._stats is not None:
            self._stats.inc_value(f"fashion_cascade/{what}")
