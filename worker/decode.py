"""Open and decode pictures in threads, ahead of the networks, in bounded memory.

Decoding releases the interpreter lock, so threads are enough. At most `ahead` decoded pictures
wait to be used, which bounds the memory whatever the length of the shard.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from cascade.backends.cores import available_cores
from worker.errors import HostTrouble, RootGone
from worker.sources.loading import Load
from worker.sources.paths import is_url, to_os_path, to_text
from worker.sources.scan import root_is_available

if TYPE_CHECKING:
    from cascade.pictures.decode import Loaded
    from db.records import FileState

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds between two tries while the host is in trouble
POLL_SECONDS = 0.2


def decode_thread_count(setting: int) -> int:
    """The number of decoder threads: the setting, or one per core that this process may use."""
    return setting or available_cores()


class Decoder:
    """Decodes files in its own threads; a context manager that ends them.

    Args:
        load: opens one file (`worker.sources.loading.file_loader`).
        threads: how many files are decoded at once.
        ahead: how many decoded pictures may wait to be used.
        stop: set it to end the iteration early if the host is in trouble.
        patience: how many seconds to wait for the host before the shard is given up; infinite
            also waits for a root that is gone.
    """

    def __init__(
        self,
        load: Load,
        *,
        threads: int,
        ahead: int,
        stop: threading.Event | None = None,
        patience: float = 0.0,
    ) -> None:
        self._load = load
        self._stop, self._closed = stop or threading.Event(), threading.Event()
        self._patience = patience
        self._ahead = max(ahead, threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads, after the files that they are decoding."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, files: Iterable[FileState], roots: Sequence[str]) -> Iterator[Loaded]:
        """Yield one `Loaded` per file, in the order of the files; its `path` is the file's text.

        Raises:
            HostTrouble: no file can be read for now.
            RootGone: a file is missing and so is its root, so the file may still exist.
        """
        futures: deque[Future[Loaded]] = deque()
        remaining = iter(files)
        try:
            for file in islice(remaining, self._ahead):
                futures.append(self._pool.submit(self._decode_one, file, roots))
            while futures:
                try:
                    loaded = futures.popleft().result()
                except HostTrouble:
                    if self._stop.is_set():
                        return
                    raise
                for file in islice(remaining, 1):
                    futures.append(self._pool.submit(self._decode_one, file, roots))
                yield loaded
        finally:
            for future in futures:
                future.cancel()

    def _decode_one(self, file: FileState, roots: Sequence[str]) -> Loaded:
        """Decode a file; wait with growing pauses while the host is in trouble."""
        waited, pause = 0.0, FIRST_PAUSE
        while True:
            try:
                return self._try_to_decode(file, roots)
            except HostTrouble as trouble:
                endless = math.isinf(self._patience)
                if isinstance(trouble, RootGone) and not endless:
                    raise  # other shards may have other roots
                if waited >= self._patience:
                    raise
                log.warning("%s; trying again in %.1f s", trouble, pause)
                if self._ends_within(min(pause, self._patience - waited)):
                    raise
            waited, pause = waited + pause, min(2 * pause, LONGEST_PAUSE)

    def _ends_within(self, seconds: float) -> bool:
        """Wait; True as soon as there is a reason to stop."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if self._stop.is_set() or self._closed.wait(min(rest, POLL_SECONDS)):
                return True
        return False

    def _try_to_decode(self, file: FileState, roots: Sequence[str]) -> Loaded:
        from cascade.pictures.trouble import Trouble

        os_path = to_os_path(file.path)
        loaded = self._load_safely(os_path, roots)
        if loaded.trouble is Trouble.HOST:
            raise HostTrouble(f"{file.path}: cannot be read for now: {loaded.detail}")
        if loaded.trouble is Trouble.PATH:
            require_available_root(os_path, roots)
        if loaded.reason == "missing" and roots:
            # look again between two checks of the root: if a disk goes away for a moment, its
            # pictures must not be recorded as missing
            require_available_root(os_path, roots)
            loaded = self._load_safely(os_path, roots)
            if loaded.trouble is not None:
                return self._try_to_decode(file, roots)
            require_available_root(os_path, roots)
        return replace(loaded, path=file.path)

    def _load_safely(self, os_path: str, roots: Sequence[str]) -> Loaded:
        try:
            return self._load(os_path, roots)
        except Exception as error:  # one picture never fails its shard
            log.exception("%s: the decoder raised an unexpected exception", to_text(os_path))
            from cascade.pictures.decode import Loaded

            return Loaded(os_path, None, None, None, None, "unreadable", repr(error))


def require_available_root(os_path: str, roots: Sequence[str]) -> None:
    """Raise RootGone if the root that contains the path is absent or empty."""
    # roots of a message are resolved; a link to a disk that is gone still says where it leads
    places = {os_path} if is_url(os_path) else {os_path, os.path.realpath(os_path)}
    for root in roots:
        inside = any((place + os.sep).startswith(root.rstrip(os.sep) + os.sep) for place in places)
        if inside and not root_is_available(root):
            name = root if is_url(root) else to_text(root)
            raise RootGone(
                f"{name}: the folder with the pictures is gone or empty, so none of its "
                "pictures is recorded as missing; mount it again, and the work continues"
            )
