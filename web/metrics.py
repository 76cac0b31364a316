"""Prometheus metrics of the page: its requests, and the rows of the catalogue by status."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db import ledger

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one page."""

    def __init__(self, engine: Engine) -> None:
        from prometheus_client import CollectorRegistry, Histogram

        self._engine = engine
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "fashion_cascade_page_seconds",
            "Seconds until an answer of the page begins.",
            ["method", "status"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(self)

    def collect(self) -> Iterator[Any]:
        """The gauge of the rows; asked for by prometheus_client at each scrape."""
        from prometheus_client.core import GaugeMetricFamily

        rows = GaugeMetricFamily(
            "fashion_cascade_rows", "Rows of the catalogue.", labels=["crawl", "status"]
        )
        for crawl, counts in ledger.counts_by_crawl(self._engine).items():
            by_status: dict[str, int] = {}
            for (status, _), number in counts.items():
                by_status[status] = by_status.get(status, 0) + number
            for status, number in by_status.items():
                rows.add_metric([crawl, status], number)
        yield rows

    def describe(self) -> Iterator[Any]:
        """Nothing: what there is depends on the catalogue."""
        return iter(())

    def show(self, _: Request) -> Response:
        """All metrics in the text format of Prometheus."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST}
        return Response(generate_latest(self._registry), 200, headers)

    def counting(self, app: ASGIApp) -> ASGIApp:
        """An application whose answers are measured."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            start = time.monotonic()
            # other words would be labels without end
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"

            async def measured(message: Message) -> None:
                if message["type"] == "http.response.start":
                    series = self._seconds.labels(method, str(message["status"]))
                    series.observe(time.monotonic() - start)
                await send(message)

            await app(scope, receive, measured)

        return counted
