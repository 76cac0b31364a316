"""Read pictures from object stores: any fsspec URL (``s3://``, ``gs://``, ``memory://``, …).

``cascade.pictures.safe_read`` opens local paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from cascade.pictures.files import is_hidden, other_ending
from db.records import FileState
from rendering.secrets import mask_message, mask_url
from worker.errors import InputError, RootGone

if TYPE_CHECKING:
    from cascade.pictures.decode import Loaded
    from cascade.pictures.preprocessing import Preprocessing
    from cascade.pictures.safe_read import Contents


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises:
        InputError: fsspec does not know the protocol, or its package is not installed.
    """
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        cause = mask_message(str(error), url)
        raise InputError(
            f"{mask_url(url)}: {cause}; install the fsspec package of that protocol"
        ) from error
    return system, str(path)


def _picture_store(url: str) -> tuple[Any, str]:
    """`file_system`, for pictures: web sites are left to programs that crawl them politely.

    Raises:
        InputError: the address is one of the web, or `file_system` raises it.
    """
    if re.match(r"(.*::)?https?://", url, re.IGNORECASE):
        raise InputError(
            f"{mask_url(url)}: expected a folder, a file or an object store, received an address "
            "of the web, which is not fetched; use img2dataset or Scrapy, then label its folder"
        )
    return file_system(url)


def walk(url: str) -> Iterator[FileState]:
    """Yield the files below a URL, folder by folder.

    Raises:
        RootGone: the store does not answer.
    """
    system, path = _picture_store(url)
    url, path = url.rstrip("/"), path.rstrip("/")
    try:
        for _, _, files in system.walk(path, detail=True, on_error="raise"):
            for name, about in files.items():
                if not is_hidden(name) and other_ending(name) is None:
                    below = str(about["name"]).removeprefix(path).lstrip("/")
                    yield FileState(f"{url}/{below}", about.get("size"), _modified(about))
    except (OSError, ValueError) as error:
        cause = mask_message(str(error), url)
        raise RootGone(f"{mask_url(url)} cannot be listed: {cause}; try again later") from error


def root_is_available(url: str) -> bool:
    """Whether there is anything below the URL."""
    system, path = _picture_store(url)
    try:
        return bool(system.ls(path, detail=False))
    except Exception:  # noqa: BLE001 - each library of a store has its own errors
        return False


def load(url: str, preprocessing: Preprocessing, roots: Sequence[str]) -> Loaded:
    """Read, hash and decode one file of an object store; a bad file is rejected, not raised."""
    from cascade.pictures.decode import Loaded, Rejected, content_hash, decode

    found = read(url, preprocessing.max_bytes, roots)
    if found.data is None:
        return Loaded(url, found.size, None, None, None, found.reason, found.detail, found.trouble)
    result, digest = decode(found.data, preprocessing), content_hash(found.data)
    if isinstance(result, Rejected):
        return Loaded(url, found.size, found.mtime, digest, None, result.reason, result.detail)
    return Loaded(url, found.size, found.mtime, digest, result, None, None)


def read(url: str, max_bytes: int, roots: Sequence[str]) -> Contents:
    """The bytes of one file of an object store, like `safe_read.read`."""
    from cascade.pictures.safe_read import Contents
    from cascade.pictures.trouble import trouble_of

    if roots and not any(is_below(url, root) for root in roots):
        detail = f"not below {', '.join(map(mask_url, roots))}"
        return Contents(reason="outside_root", detail=detail)
    try:
        system, path = _picture_store(url)
        about = system.info(path)
        size = about.get("size")
        if size is not None and size > max_bytes:
            return Contents(size, reason="too_large", detail=f"more than {max_bytes} bytes")
        with system.open(path, "rb") as stream:
            data = stream.read(max_bytes + 1)
    except FileNotFoundError as error:
        return Contents(reason="missing", detail=str(error))
    except Exception as error:  # noqa: BLE001 - each library of a store has its own errors
        words = str(error) or type(error).__name__
        return Contents(reason="unreadable", detail=words, trouble=trouble_of(error))
    if len(data) > max_bytes:
        return Contents(len(data), reason="too_large", detail=f"more than {max_bytes} bytes")
    return Contents(len(data), _modified(about), data)


def is_below(url: str, root: str) -> bool:
    """Whether an address is below a root, however a library resolves it.

    ``..`` is refused also where it is escaped (``%2e%2e``), with either slash, and so is ``::``, by
    which fsspec chains one address to another.
    """
    if not url.startswith(root.rstrip("/") + "/") or "::" in url.removeprefix(root):
        return False
    while (decoded := unquote(url)) != url:
        url = decoded
    return ".." not in re.split(r"[/\\?#;]", url)


def _modified(about: dict[str, Any]) -> float | None:
    """The modification time, if the store has it under one of the usual names."""
    for name in ("mtime", "LastModified", "updated", "last_modified"):
        value = about.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None
