"""Small pictures of rows: read and decoded within the product's limits, kept in a bounded cache.

A row's path is not trusted: it is opened below the roots only, on every request, and the cache is
keyed by the hash of the bytes that were read. A row's own `content_hash` may be forged, so it never
finds a picture.
"""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cascade.pictures.decode import Rejected, content_hash, decode
from cascade.pictures.preprocessing import Preprocessing
from worker.sources.row_files import read_row

if TYPE_CHECKING:
    from web.disk_cache import DiskCache

SMALL = Preprocessing(width=240, height=320)
LARGE = Preprocessing(width=900, height=1200)
DECODES = 2  # at a time: a page of pictures must not take the machine from the workers
READS = 4  # at a time, of pictures that are kept: they do not wait for decodes
REFUSALS_KEPT = 10_000
QUALITY = 82


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG with the hash of the picture's bytes, or the reason why there is none.

    `tag` changes with the JPEG.
    """

    digest: str | None
    jpeg: bytes | None
    reason: str | None = None
    detail: str | None = None
    tag: str = ""


class Thumbnails:
    """Makes JPEGs of rows' pictures in its own threads.

    Args:
        roots: folders and addresses that pictures may be below; empty: every local path.
        cache: keeps the JPEGs; None: each is made again.
    """

    def __init__(self, roots: Sequence[str], cache: DiskCache | None) -> None:
        self._roots = tuple(roots)
        self._cache = cache
        self._reads = ThreadPoolExecutor(READS, thread_name_prefix="thumbnail-read")
        self._decodes = ThreadPoolExecutor(DECODES, thread_name_prefix="thumbnail-decode")
        # hash and size of bytes that are no picture: a hostile file is not decoded twice
        self._refusals: OrderedDict[str, Rejected] = OrderedDict()

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        for pool in (self._reads, self._decodes):
            pool.shutdown(wait=False, cancel_futures=True)

    async def make(
        self, path_of: Callable[[], str | None], frame: Preprocessing = SMALL
    ) -> Thumbnail | None:
        """The picture at a row's path in a white frame; never raises because of the file.

        Args:
            path_of: looks the path up, in a thread; None: no such row.
            frame: the size of the JPEG, and the limits.
        """
        run = asyncio.get_running_loop().run_in_executor
        path, kept = await run(self._reads, self._look, path_of, frame)
        if path is None or kept is not None:
            return kept
        # the bytes are read again: those of all pictures that wait would fill the memory
        return await run(self._decodes, self.make_now, path, frame)

    def _look(
        self, path_of: Callable[[], str | None], frame: Preprocessing
    ) -> tuple[str | None, Thumbnail | None]:
        """The path of a row, and its picture unless it must be decoded first."""
        path = path_of()
        return path, None if path is None else self._made(path, frame, decode_now=False)

    def make_now(self, path: str, frame: Preprocessing = SMALL) -> Thumbnail:
        """The picture at a path, made in this thread."""
        made = self._made(path, frame, decode_now=True)
        assert made is not None
        return made

    def _made(self, path: str, frame: Preprocessing, *, decode_now: bool) -> Thumbnail | None:
        contents = read_row(path, frame.max_bytes, self._roots)
        if contents.data is None:
            return Thumbnail(None, None, contents.reason, contents.detail)
        digest = content_hash(contents.data)
        key = f"{digest}-{frame.width}x{frame.height}"
        tag = f"{key}-{QUALITY}"
        refused = self._refusals.get(key)
        if refused is None:
            jpeg = None if self._cache is None else self._cache.get(key)
            if jpeg is not None:
                return Thumbnail(digest, jpeg, tag=tag)
            if not decode_now:
                return None
            made = _jpeg(contents.data, frame)
            if isinstance(made, bytes):
                if self._cache is not None:
                    self._cache.put(key, made)
                return Thumbnail(digest, made, tag=tag)
            refused = self._refusals[key] = made
            while len(self._refusals) > REFUSALS_KEPT:
                self._refusals.popitem(last=False)
        return Thumbnail(digest, None, refused.reason, refused.detail)


def _jpeg(data: bytes, frame: Preprocessing) -> bytes | Rejected:
    from PIL import Image

    pixels = decode(data, frame)
    if isinstance(pixels, Rejected):
        return pixels
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
