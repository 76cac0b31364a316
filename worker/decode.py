"""Pictures are opened and decoded in threads, ahead of the networks, in bounded memory.

Decoding releases the interpreter's lock, so threads are enough. At most `ahead` pictures are
decoded and not yet taken: that bounds the memory, whatever the shard's length.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from worker.errors import RootGone
from worker.sources.paths import to_os_path, to_text
from worker.sources.scan import is_healthy

if TYPE_CHECKING:
    from cascade.pictures.decode import Loaded
    from db.records import FileState

log = logging.getLogger(__name__)

# opens one path of the operating system within roots; never raises for a bad file
Load = Callable[[str, Sequence[str]], "Loaded"]


def thread_count(setting: int) -> int:
    """How many threads to decode with: the setting, or one for each core that this process has."""
    return setting or len(os.sched_getaffinity(0))


class Decoder:
    """Decodes files in threads of its own; a context manager that ends them.

    Args:
        load: what opens one file, ``cascade.pictures.decode.load`` with its preprocessing.
        threads: how many files are decoded at once.
        ahead: how many decoded pictures may wait to be taken.
    """

    def __init__(self, load: Load, *, threads: int, ahead: int) -> None:
        self._load = load
        self._ahead = max(ahead, threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; what they are decoding now is finished first."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, files: Iterable[FileState], roots: Sequence[str]) -> Iterator[Loaded]:
        """One `Loaded` a file, in the order of the files, its `path` the text of the file.

        Raises:
            RootGone: a file is missing and so is its root: that says nothing about the file.
        """
        waiting: deque[Future[Loaded]] = deque()
        rest = iter(files)
        try:
            for file in islice(rest, self._ahead):
                waiting.append(self._pool.submit(self._one, file, roots))
            while waiting:
                loaded = waiting.popleft().result()
                for file in islice(rest, 1):
                    waiting.append(self._pool.submit(self._one, file, roots))
                yield loaded
        finally:
            for future in waiting:
                future.cancel()

    def _one(self, file: FileState, roots: Sequence[str]) -> Loaded:
        os_path = to_os_path(file.path)
        loaded = self._guarded(os_path, roots)
        if loaded.reason == "missing" and roots:
            # looked at again between two looks at the root: a disk that goes away for a moment
            # must not turn its pictures into missing ones
            require_healthy(os_path, roots)
            loaded = self._guarded(os_path, roots)
            require_healthy(os_path, roots)
        return replace(loaded, path=file.path)

    def _guarded(self, os_path: str, roots: Sequence[str]) -> Loaded:
        try:
            return self._load(os_path, roots)
        except Exception as error:  # one picture never fails its shard
            log.exception("%s: decoding raised what it should have caught", to_text(os_path))
            from cascade.pictures.decode import Loaded

            return Loaded(os_path, None, None, None, None, "unreadable", repr(error))


def require_healthy(os_path: str, roots: Sequence[str]) -> None:
    """Raise RootGone when the root that the path lies in is absent or empty."""
    for root in roots:
        inside = os_path == root or os_path.startswith(root.rstrip(os.sep) + os.sep)
        if inside and not is_healthy(root):
            raise RootGone(
                f"{to_text(root)}: the folder with the pictures is gone or empty; nothing in it "
                "is called missing; mount it again, the work goes on from where it stood"
            )
