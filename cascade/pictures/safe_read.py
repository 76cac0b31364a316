"""Reads one file of a crawl safely: never blocks, never leaves the roots, never raises."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cascade.pictures import archives
from cascade.pictures.trouble import Trouble, trouble_of

_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_PROC_FD = "/proc/self/fd"
_HAS_PROC_FD = Path(_PROC_FD).is_dir()  # Linux: tells the real path of an open file


@dataclass(frozen=True, slots=True)
class Contents:
    """The bytes of one file, or the reason why there are none.

    Exactly one of ``data`` and ``reason`` is set. ``size`` (bytes) and ``mtime`` (seconds since
    1970) are those of the opened file; None if it could not be opened. With ``trouble``, the
    reason is no verdict on the file.
    """

    size: int | None = None
    mtime: float | None = None
    data: bytes | None = None
    reason: str | None = None
    detail: str | None = None
    trouble: Trouble | None = None


def read(path: str, max_bytes: int, roots: Sequence[str] = ()) -> Contents:
    """Read a regular file below one of ``roots``, or a member of an archive (``a.zip!/1.jpg``).

    A symbolic link is followed if its target is below a root. Without roots, the path is trusted
    and may lead anywhere. Of a member, the archive must be below a root; the member may not lead
    out of it. The reasons are ``missing``, ``unreadable``, ``outside_root`` and ``too_large``.
    """
    parts = archives.split(path)
    if parts is not None and not _is_regular_file(path):
        archive, member = parts
        return _opened(archive, roots, lambda opened: _read_member(opened, member, max_bytes))
    return _opened(path, roots, lambda opened: _read_open(opened, max_bytes))


def list_members(path: str, roots: Sequence[str] = ()) -> Iterator[archives.Member] | Contents:
    """The files of an archive, opened as by `read`; or the reason why there are none."""
    found: list[Iterator[archives.Member]] = []

    def keep(opened: int) -> Contents:
        found.append(archives.members(opened))
        return Contents()

    contents = _opened(path, roots, keep)
    return contents if not found else found[0]


def _opened(path: str, roots: Sequence[str], use: Callable[[int], Contents]) -> Contents:
    """What `use` makes of the descriptor of a regular file below a root; never raises."""
    try:
        real_roots, unresolved = _real_roots(roots)
        # The system tells the real path of a regular file once it is open. Resolving the path step
        # by step before took a sixth of the decoding time.
        regular = not real_roots or (_HAS_PROC_FD and _is_regular_file(path))
        target = path if regular else os.path.realpath(path)
        if not regular and not _inside(target, real_roots):
            return _outside(target, unresolved)
        # Checked before opening, because opening a device can have an effect.
        refusal = _refuse_special(os.stat(target))  # noqa: PTH116 - surrogates, no Path needed
        if refusal is not None:
            return refusal
        # The path is resolved, so a link as its last part appeared since then.
        flags = _OPEN_FLAGS | (os.O_NOFOLLOW if real_roots else 0)
        descriptor = os.open(target, flags)
        with os.fdopen(descriptor, "rb") as file:
            refusal = _refuse_opened(file.fileno(), real_roots, unresolved)
            return use(file.fileno()) if refusal is None else refusal
    except FileNotFoundError as error:
        return Contents(reason="missing", detail=str(error))
    except archives.BadArchive as error:
        return Contents(reason=error.reason, detail=error.detail)
    except (OSError, MemoryError, ValueError) as error:  # ValueError: a NUL in the path
        return _unreadable(error)


def _unreadable(error: Exception) -> Contents:
    words = str(error) or type(error).__name__
    return Contents(reason="unreadable", detail=words, trouble=trouble_of(error))


def _outside(real_path: str, unresolved: OSError | None) -> Contents:
    """Outside of the roots; unless a root could not be resolved, which may contain it."""
    if unresolved is not None:
        return _unreadable(unresolved)
    return Contents(reason="outside_root", detail=f"leads to {real_path!r}")


def is_allowed(path: str, roots: Sequence[str] = ()) -> bool:
    """Whether a path leads to a regular file below one of ``roots``, or anywhere without roots."""
    try:
        target = os.path.realpath(path)
        regular = stat.S_ISREG(os.stat(target).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return regular and (not roots or _inside(target, _real_roots(roots)[0]))


def _refuse_opened(
    descriptor: int, real_roots: Sequence[str], unresolved: OSError | None
) -> Contents | None:
    """Why an opened file is not read, after checking again what was opened."""
    refusal = _refuse_special(os.fstat(descriptor))
    if refusal is not None:
        return refusal
    if real_roots and _HAS_PROC_FD:
        # A folder of the path may have been replaced by a link between resolving and opening.
        opened = os.readlink(f"{_PROC_FD}/{descriptor}")  # noqa: PTH115 - once a picture
        if not _inside(opened, real_roots):
            return _outside(opened, unresolved)
    return None


def _read_open(descriptor: int, max_bytes: int) -> Contents:
    status = os.fstat(descriptor)
    size, mtime = status.st_size, status.st_mtime
    too_large = Contents(size, mtime, None, "too_large", f"more than {max_bytes} bytes")
    if size > max_bytes:
        return too_large
    pieces, length = [], 0
    while piece := os.read(descriptor, max(size - length, 0) + 1):
        pieces.append(piece)
        length += len(piece)
        if length > max_bytes:  # it grew during reading
            return too_large
    return Contents(size, mtime, b"".join(pieces))


def _read_member(descriptor: int, name: str, max_bytes: int) -> Contents:
    member, data = archives.read(descriptor, name, max_bytes)
    return Contents(member.size, member.mtime, data)


def _refuse_special(status: os.stat_result) -> Contents | None:
    if stat.S_ISREG(status.st_mode):
        return None
    kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a FIFO, device or socket"
    return Contents(reason="unreadable", detail=f"{kind}, not a regular file")


def _is_regular_file(path: str) -> bool:
    """Whether a path is a regular file and not a link; False if it cannot be examined."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def _real_roots(roots: Sequence[str]) -> tuple[list[str], OSError | None]:
    """The roots with their links resolved, and the trouble that kept one from being resolved.

    A root is cached as long as it is the same folder.
    """
    real_roots, trouble = [], None
    for root in roots:
        try:
            status = os.stat(root)  # noqa: PTH116 - once a picture
        except OSError as error:
            trouble = error if trouble_of(error) else trouble
            real_roots.append(os.path.realpath(root))
        else:
            real_roots.append(_resolved(root, status.st_dev, status.st_ino))
    return real_roots, trouble


@functools.lru_cache(maxsize=256)
def _resolved(root: str, device: int, inode: int) -> str:
    return os.path.realpath(root)


def _inside(real_path: str, real_roots: Sequence[str]) -> bool:
    """Whether a resolved path is a root or below one (``/a/bc`` is not below ``/a/b``)."""
    return any(
        real_path == root or real_path.startswith(root.rstrip(os.sep) + os.sep)
        for root in real_roots
    )
