"""Metrics and probes over HTTP: ``/metrics``, ``/livez``, ``/readyz``, ``/startupz``."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from worker.probes.state import PROBES, State

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
PATHS = {"/livez": "live", "/readyz": "ready", "/startupz": "startup"}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a scrape in progress does not hold up the end of the worker


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    timeout = 30  # a client that says nothing holds a thread only so long

    def log_message(self, format: str, *args: Any) -> None:
        """A probe every few seconds would fill the log."""


def with_probes(metrics: Application, folder: Path | None) -> Application:
    """The metrics, and the probes of the worker whose state is in `folder`; None: no probes.

    A probe answers 200 with ``ok``, or 503 with the reason.
    """

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        probe = PATHS.get(environ.get("PATH_INFO", ""))
        if probe is None or folder is None:
            return metrics(environ, start_response)
        trouble = PROBES[probe](State(folder))
        head = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
        start_response("503 Service Unavailable" if trouble else "200 OK", head)
        return [f"{trouble or 'ok'}\n".encode()]

    return application


def start(application: Application, address: str, port: int) -> WSGIServer:
    """Serve `application` from a thread that ends with the process.

    Raises:
        OSError: the port is taken, or the address is not of this machine.
    """
    family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
    kind = _Server6 if family == socket.AF_INET6 else _Server
    server = make_server(address, port, application, server_class=kind, handler_class=_Silent)
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()
    return server
