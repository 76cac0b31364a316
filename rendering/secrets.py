"""Which part of a URL may be shown, and whether its password can be told from its host."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"
ENCODE = "percent-encode the characters / ? # @ : % of a user name or password (%2F %3F %23 %40 …)"

_PARAMETER = re.compile(
    r"(?i)([?&;][\w.-]*(?:pass|pwd|token|secret|key|signature|sig|credential)[\w.-]*=)[^&;\s]*"
)
_HOST = r"(?:\[[^\]]*\]|[^:\[\]@]*)(?::\d*)?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*")
_NO_AUTHORITY = re.compile(r"(?i)(?:sqlite(?:\+\w+)?|file):///")


def mask_url(url: str) -> str:
    """A URL or path that may be shown.

    All between ``//`` and the last ``@`` becomes ``***``, because a token may be the user name and
    a password may contain any character; so do query parameters whose name means a secret. A URL
    without ``//`` is masked up to its ``@``.
    """
    if not _NO_AUTHORITY.match(url):
        if "://" in url:
            url = re.sub(r"(?s)://.*@", f"://{HIDDEN}@", url)
        else:  # postgres:/me:word@host, me:word@host; a path with @ is shown
            url = re.sub(r"(?s)^[^/\\.][^/\\]*:.*@", f"{HIDDEN}@", url)
    return _PARAMETER.sub(rf"\1{HIDDEN}", url)


def is_unambiguous(url: str) -> bool:
    """Whether the URL's user, password, host and port can be told apart.

    An unescaped ``/``, ``?`` or ``#`` ends the host too early: the rest of the password is then
    taken for a host, a port or a database, and libraries print it in their errors.
    """
    _, found, rest = url.partition("://")
    if not found:
        return False
    if _NO_AUTHORITY.match(url):
        return True
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path, _, query = rest[len(authority) :].partition("?")
    hosts = authority.rpartition("@")[2]
    in_query = "@" not in query or "=" in query.partition("@")[0]
    return "@" not in path and in_query and _HOSTS.fullmatch(hosts) is not None


def mask_message(message: str, url: str) -> str:
    """A library's message about `url`, without the URL's user and password, as given or decoded."""
    given = url.partition("://")[2].rpartition("@")[0]
    password = given.partition(":")[2]
    for secret in (given, unquote(given), password, unquote(password)):
        if secret:
            message = message.replace(secret, HIDDEN)
    return message
