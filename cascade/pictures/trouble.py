"""Errors that say nothing about a picture: the host's trouble, and trouble that may pass."""

from __future__ import annotations

import errno
from enum import Enum

# no more files or memory in this process or on this machine
_HOST = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
# a disk or a server that fails for a moment, or that is gone
_PASSING = frozenset(
    (
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.EINTR),
        *(errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ENOTCONN, errno.EPIPE),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        *(getattr(errno, name) for name in ("EREMOTEIO", "ENOLINK") if hasattr(errno, name)),
    )
)
_PASSING_HTTP = frozenset((408, 425, 429, 500, 502, 503, 504))
_STATUS_NAMES = ("status", "status_code", "code")  # aiohttp, requests and azure, gcsfs


class Trouble(Enum):
    """Whose trouble it is.

    HOST concerns every file, so one waits. PATH was seen with one file: if its root can be read,
    the file is put off.
    """

    HOST = "host"
    PATH = "path"


def trouble_of(error: BaseException) -> Trouble | None:
    """The trouble that an error of reading a file tells; None if the file is at fault."""
    if isinstance(error, MemoryError):
        return Trouble.HOST
    number = error.errno if isinstance(error, OSError) else None
    if number in _HOST:
        return Trouble.HOST
    passing = isinstance(error, TimeoutError | ConnectionError) or number in _PASSING
    if passing or _http_status(error) in _PASSING_HTTP:
        return Trouble.PATH
    cause = error.__cause__  # libraries of object stores wrap the first error
    return None if cause is None else trouble_of(cause)


def _http_status(error: BaseException) -> int | None:
    for name in _STATUS_NAMES:
        value = getattr(error, name, None)
        if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            return int(value)
    response = getattr(error, "response", None)  # botocore: a dictionary
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    return None
