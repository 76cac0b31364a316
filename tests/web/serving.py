"""A running page for tests: uvicorn in a thread, on a free port of loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from db.catalogue import Catalogue
from tests.servers import wait_until
from web.access import Access
from web.app import make_app
from web.disk_cache import DiskCache
from web.hosts import Hosts
from web.server import server_of
from web.site import Site
from web.thumbnails import Thumbnails
from worker.settings import Settings


@contextmanager
def served(
    store: Catalogue,
    folder: Path,
    *,
    roots: Sequence[str] = (),
    allowed: Sequence[str] = (),
    read_only: bool = False,
    access: Access | None = None,
    settings: Settings | None = None,
) -> Iterator[httpx.Client]:
    """A client of a page that shows a catalogue; thumbnails are kept in `folder`."""
    thumbnails = Thumbnails(roots, DiskCache(folder / "thumbnails"))
    must_log_in = access is not None and access.known.any
    site = Site(store.engine, "test", thumbnails, read_only, must_log_in, settings)
    server = server_of(make_app(site, Hosts("127.0.0.1", allowed), access))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started, "the page to answer")
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=base, timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
