"""The vectors of the page's catalogue, read in the background and kept in memory."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db.features.index import VectorIndex
from db.session import reading
from db.tables import features

WAIT_SECONDS = 0.5
KEPT_SECONDS = 60.0  # at least, however many vectors are added meanwhile


class IndexCache:
    """The index of one digest, the last one that was asked for. Thread-safe.

    A million vectors take a second to read and 70 MB to keep, so they are read once, by a thread,
    and again when others were added or removed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="vectors")
        self._index: VectorIndex | None = None
        self._read_at = 0.0
        self._loading: Future[VectorIndex] | None = None

    def get(self, digest: str, wait_seconds: float = WAIT_SECONDS) -> VectorIndex | None:
        """The index; None if it is not read after ``wait_seconds``: ask again.

        Raises:
            CatalogueError: it could not be read.
        """
        with self._lock:
            index = self._index
            if index is not None and index.digest == digest and not self._is_old(index):
                return index
            if self._loading is None:
                self._loading = self._pool.submit(VectorIndex.load, self._engine, digest)
            loading = self._loading
        try:
            found = loading.result(wait_seconds)
        except TimeoutError:
            if not loading.done():
                return index if index is not None and index.digest == digest else None
            raise
        finally:
            with self._lock:
                if loading.done() and self._loading is loading:
                    self._loading = None
                    if loading.exception() is None:
                        self._index, self._read_at = loading.result(), time.monotonic()
        return found if found.digest == digest else None

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _is_old(self, index: VectorIndex) -> bool:
        if time.monotonic() - self._read_at < KEPT_SECONDS and len(index) > 10_000:
            return False
        query = sa.select(sa.func.count(), sa.func.max(features.c.id))
        with reading(self._engine) as connection:
            count, last = connection.execute(query.where(features.c.digest == index.digest)).one()
        return bool(count != len(index) or (len(index) and last != index.ids[-1]))
