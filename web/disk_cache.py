"""A folder of files with a limit on their bytes; the longest unused ones are removed."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

LIMIT_BYTES = 512 * 1024 * 1024
KEPT_AFTER_CLEANING = 0.9
_KEY = re.compile(r"[0-9a-z-]{3,80}")


class DiskCache:
    """Keeps bytes by key, also for other processes. A disk that is full or gone only slows.

    Args:
        folder: made if it does not exist, for this user alone.
        limit_bytes: of all files together, about.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder, self._limit = folder, limit_bytes
        self._bytes: int | None = None  # counted before the first file is added
        self._lock = threading.Lock()
        self._warned = False

    def get(self, key: str) -> bytes | None:
        """The bytes of a key, if they are kept."""
        file = self._file(key)
        try:
            data = file.read_bytes()
            os.utime(file)  # the time of the last use, by which files are removed
        except OSError:
            return None
        return data or None  # empty after a power failure

    def put(self, key: str, data: bytes) -> None:
        """Keep the bytes of a key, complete or not at all."""
        file = self._file(key)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".")
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(data)
                Path(name).replace(file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            if not self._warned:
                self._warned = True
                log.warning("%s: thumbnails are not kept: %s", self._folder, error)
            return
        with self._lock:
            self._bytes = self._count() if self._bytes is None else self._bytes + len(data)
            if self._bytes > self._limit:
                self._bytes = self._clean()

    def _file(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"expected a key of letters and digits, received {key!r}")
        return self._folder / key[:2] / key

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, file) of all files."""
        found = []
        for file in self._folder.glob("*/*"):
            with suppress(OSError):  # removed by another process
                status = file.stat()
                found.append((status.st_mtime, status.st_size, file))
        return found

    def _count(self) -> int:
        return sum(size for _, size, _ in self._entries())

    def _clean(self) -> int:
        """Remove the longest unused files; the bytes that remain."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, file in entries:
            if total <= self._limit * KEPT_AFTER_CLEANING:
                break
            with suppress(OSError):
                file.unlink()
                total -= size
        return total
