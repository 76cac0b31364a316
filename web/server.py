"""Runs the application on uvicorn, with limits on connections and on slow senders."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HEADER_SECONDS = 10.0
LARGEST_HEADERS = 64 * 1024
CONNECTIONS = 200
KEEP_ALIVE_SECONDS = 15
SHUTDOWN_SECONDS = 3


class BoundedProtocol(H11Protocol):
    """Ends a connection whose request line and headers do not arrive in time.

    Uvicorn limits the time between requests only: a sender of one byte a second would hold its
    connection forever.
    """

    _headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the time for the first request.

        Headers and body are two writes. Without TCP_NODELAY the second waits until the client has
        acknowledged the first, which takes 40 ms. asyncio sets it only where the socket names its
        protocol, and a socket of `socket.create_server` does not.
        """
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Stop the time when a request is complete, start it when another begins."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()
        elif (before is None or before.response_complete) and self._headers_due is None:
            self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        self._headers_due = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; connections that are busy have `SHUTDOWN_SECONDS`."""
    server_of(app).run(sockets=[listener])


def server_of(app: ASGIApp) -> uvicorn.Server:
    """The server of an application, not yet started."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        loop="asyncio",
        access_log=False,
        log_config=None,
        proxy_headers=False,  # whom to believe is a setting of ours
        server_header=False,
        date_header=True,
        h11_max_incomplete_event_size=LARGEST_HEADERS,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)
