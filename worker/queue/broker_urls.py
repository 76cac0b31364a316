"""The broker's URL as Celery writes it, in the words of the Redis client library.

Both have ``redis://`` and ``rediss://``. A Unix socket is ``redis+socket:///run/redis.sock`` for
Celery and ``unix:///run/redis.sock`` for the client; for ``ssl_cert_reqs``, Celery also takes the
names of Python's ``ssl``.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

SOCKET = "redis+socket"
_QUERY_NAMES = {"virtual_host": "db"}  # of a socket's URL, which has no room for the number


def client_url(url: str) -> str:
    """The URL for ``redis.Redis.from_url``."""
    parts = urlsplit(url)
    is_socket = parts.scheme == SOCKET
    query = []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name == "ssl_cert_reqs":
            query.append((name, value.removeprefix("CERT_").lower()))
        else:
            query.append((_QUERY_NAMES.get(name, name) if is_socket else name, value))
    scheme = "unix" if is_socket else parts.scheme
    return f"{scheme}://{parts.netloc}{parts.path}" + (f"?{urlencode(query)}" if query else "")
