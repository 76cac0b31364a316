"""Opens every output: a file gets its name when it is complete, anything else is written through.

``-`` is standard output. Devices, pipes and open descriptors (``/dev/fd/3``) are written to as they
are. A symbolic link stays: the file that it leads to is replaced.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

STDOUT = "-"
_STDOUT_DESCRIPTOR = 1
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LINKS_FOLLOWED = 40  # as Linux does
_DESCRIPTOR = re.compile(rf"/(?:dev/fd|proc/(?:self|thread-self|{os.getpid()})/fd)/(\d+)")


def is_stream(target: Path) -> bool:
    """Whether the target is written through: ``-``, a descriptor, a device, a pipe or a socket."""
    if str(target) == STDOUT or _descriptor(target) is not None:
        return True
    try:
        mode = target.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_stdout(target: Path) -> bool:
    """Whether the target is standard output, by any of its names."""
    return str(target) == STDOUT or _descriptor(target) == _STDOUT_DESCRIPTOR


def file_behind(target: Path) -> Path:
    """The file or folder that is written: where a link leads, which need not exist."""
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def partial_path(target: Path) -> Path:
    """The temporary name of an output that is not complete, beside the file behind `target`."""
    return Path(f"{file_behind(target)}.partial")


@contextmanager
def open_output(target: Path) -> Iterator[BinaryIO]:
    """Open an output for bytes; a file appears under its name only if the block succeeds.

    Raises:
        OSError: it cannot be opened or written, or another process writes the same file.
    """
    if is_stream(target):
        with _open_stream(target) as stream:
            yield stream
        return
    real, partial = file_behind(target), partial_path(target)
    if real.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected a file, this is a folder", str(target))
    with open_partial(partial) as file:
        try:
            yield file
            file.flush()
            partial.replace(real)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def open_partial(partial: Path, *, keep: bool = False) -> Iterator[BinaryIO]:
    """Open an unfinished file for this process alone; with `keep`, its content stays.

    Raises:
        OSError: it cannot be opened, it is no regular file, or another process is writing it.
    """
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(partial, flags, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file: delete it", str(partial))
            locked = _lock(descriptor, partial)
        except BaseException:
            os.close(descriptor)
            raise
        if locked:
            break
        os.close(descriptor)
    with os.fdopen(descriptor, "r+b") as file:
        if not keep:
            file.truncate(0)
        yield file


def _lock(descriptor: int, path: Path) -> bool:
    """Lock an open file; False: another process has finished or deleted it in the meantime."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(errno.EAGAIN, "another process is writing it", str(path)) from None
    except OSError:
        return True  # a file system without locks
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False


@contextmanager
def _open_stream(target: Path) -> Iterator[BinaryIO]:
    if is_stdout(target):
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    number = _descriptor(target)
    # not O_CREAT: what exists is opened as it is
    opened = os.open(target, os.O_WRONLY | os.O_CLOEXEC) if number is None else os.dup(number)
    with os.fdopen(opened, "wb") as stream:
        yield stream


def _descriptor(target: Path) -> int | None:
    """The number of the open descriptor that the target names, also by a link such as /dev/stdout.

    Opening such a name again would truncate a redirected file and begin at its start.
    """
    path = os.path.abspath(target)  # noqa: PTH100 - links are followed one by one
    for _ in range(_LINKS_FOLLOWED):
        if match := _DESCRIPTOR.fullmatch(path):
            return int(match[1])
        try:
            link = os.readlink(path)  # noqa: PTH115
        except (OSError, ValueError):
            return None
        path = os.path.normpath(os.path.join(os.path.dirname(path), link))  # noqa: PTH118, PTH120
    return None
