"""Crawls, queue and workers, as they change: a page, and the same piece of it as events.

One look at the catalogue and the broker serves all who watch. Rates are over the last half minute.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from db.filters import Filter
from db.summaries import sample_details, stats
from rendering.html import render
from web import responses
from web.site import Site, site_of
from web.views import View
from worker.crawl_progress import CrawlProgress, crawl_progress

if TYPE_CHECKING:
    from worker.settings import Settings

SECONDS = 2.0  # between two events
RATE_SECONDS = 30.0
MOST_WATCHERS = 30
EVENTS_PER_STREAM = 300  # ten minutes
STATUSES = ("labelled", "rejected", "quarantined", "cancelled", "pending")


class Watch:
    """Looks at the catalogue and the broker at most every `SECONDS`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._looks: deque[tuple[float, dict[str, CrawlProgress]]] = deque()
        self._queue: dict[str, Any] = {}
        self._watchers = 0

    def state(self) -> dict[str, Any]:
        """Each crawl with its rate and time left, newest last; and the queue."""
        with self._lock:
            now = time.monotonic()
            if not self._looks or now - self._looks[-1][0] >= SECONDS / 2:
                found = {each.crawl: each for each in crawl_progress(self._site.engine)}
                while self._looks and now - self._looks[0][0] > RATE_SECONDS:
                    self._looks.popleft()
                self._looks.append((now, found))
                self._queue = queue_state(self._site.settings)
            (first, before), (last, newest) = self._looks[0], self._looks[-1]
            crawls = [
                each.with_rate(before.get(each.crawl, each), last - first)
                for each in newest.values()
            ]
            # what is in work comes first
            crawls.sort(key=lambda crawl: (not crawl["pending"], crawl["crawl"]))
            return {"crawls": crawls, "queue": self._queue}

    def piece(self) -> str:
        """The part of the page that changes."""
        state = self.state()
        addresses = {crawl["crawl"]: _addresses(crawl) for crawl in state["crawls"]}
        return render(
            "crawls.html",
            package="web",
            **state,
            addresses=addresses,
            writable=not self._site.read_only and self._site.settings is not None,
        )

    def page(self, request: Request) -> Response:
        """The page with its first state."""
        counts = stats(self._site.engine, Filter(status="rejected"))
        words = sample_details(self._site.engine, Filter(status="rejected"), counts)
        return responses.page(request, "watch.html", piece=self.piece(), words=words)

    async def events(self, request: Request) -> Response:
        """The piece whenever it has changed, until the browser goes away."""
        if self._watchers >= MOST_WATCHERS:
            return responses.refusal(request, 503, "too many are watching; load the page instead")

        async def stream() -> AsyncIterator[str]:
            self._watchers += 1
            try:
                shown = ""
                # a browser comes back by itself, and is then asked again whether it has logged in
                for _ in range(EVENTS_PER_STREAM):
                    piece = await run_in_threadpool(self.piece)
                    if piece != shown:
                        shown = piece
                        lines = "".join(f"data: {line}\n" for line in piece.splitlines())
                        yield f"event: crawls\n{lines}\n"
                    else:
                        yield ": still there\n\n"
                    await asyncio.sleep(SECONDS)
            finally:
                self._watchers -= 1

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream(), headers=headers, media_type="text/event-stream")


def routes(site: Site) -> list[Route]:
    """The routes of the page and of its events."""
    watch = Watch(site)

    def page(request: Request) -> Response:
        assert site_of(request) is site
        return watch.page(request)

    async def events(request: Request) -> Response:
        return await watch.events(request)

    return [Route("/watch", page), Route("/events", events)]


def queue_state(settings: Settings | None) -> dict[str, Any]:
    """Messages that wait, are taken and put off, the workers; or the error of the broker."""
    from worker.errors import BrokerUnreachable

    if settings is None:
        return {"error": "no queue"}
    from worker.queue import broker

    try:
        waiting, taken = broker.queue_length(settings), broker.unacknowledged(settings)
        dead, newest = broker.dead_letters(settings)
        workers, put_off = broker.active_workers(settings, taken)
    except BrokerUnreachable as error:
        return {"error": str(error)}
    counts = {"waiting": waiting, "taken": taken, "put_off": put_off}
    return counts | {"dead_letters": dead, "newest_dead_letter": newest, "workers": workers}


def _addresses(crawl: dict[str, Any]) -> dict[str, Any]:
    """Where the pictures of a crawl are shown, by status and by reason."""
    view = View(Filter(crawl=crawl["crawl"]))
    return {
        "all": view.address(),
        "status": {status: view.address(status=status) for status in STATUSES},
        "reason": {
            reason: view.address(status="rejected", reason=reason) for reason in crawl["reasons"]
        },
    }
