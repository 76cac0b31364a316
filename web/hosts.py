"""Which names a request may have in its Host header: against DNS rebinding.

A web page of a stranger can make its own name resolve to this machine, and would then read the
catalogue from the browser of whoever visits it. Its requests carry that name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether a server bound to this host answers this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def name_of(host: str) -> str:
    """The name or address in a Host header, in lower case, without port and brackets."""
    host = host.strip().casefold()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


class Hosts:
    """The names that a server answers to.

    Args:
        bound: the host that it is bound to.
        allowed: further names, of ``--allowed-host``.
    """

    def __init__(self, bound: str, allowed: Iterable[str] = ()) -> None:
        names = {bound.casefold(), *(name_of(name) for name in allowed)}
        self._names = names | LOOPBACK_NAMES if is_loopback(bound) else names

    def accept(self, header: str, server: str | None) -> bool:
        """Whether a Host header names this server.

        Args:
            header: the header.
            server: the address of this machine that the connection came to; a server bound to all
                addresses answers to the one that it was reached by.
        """
        name = name_of(header)
        return bool(name) and (name in self._names or name == server)
