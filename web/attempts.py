"""Counts failed logins: so many in a while, from one address and from all together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

PER_ADDRESS = 10
FROM_ALL = 200
WINDOW_SECONDS = 300
ADDRESSES_KEPT = 10_000


class Attempts:
    """Attempts of the last `WINDOW_SECONDS`; each counts as failed until it succeeds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_address: OrderedDict[str, list[float]] = OrderedDict()
        self._all: list[float] = []

    def allow(self, address: str) -> bool:
        """Count an attempt; False if there were too many, and this one must not be looked at."""
        with self._lock:
            if self._blocked(address):
                return False
            now = self._clock()
            self._by_address.setdefault(address, []).append(now)
            self._by_address.move_to_end(address)
            while len(self._by_address) > ADDRESSES_KEPT:
                self._by_address.popitem(last=False)
            self._all.append(now)
            return True

    def succeeded(self, address: str) -> None:
        """The last attempt from this address was right: its failures are forgotten."""
        with self._lock:
            times = self._by_address.pop(address, [])
            for time in times[-1:]:
                if time in self._all:
                    self._all.remove(time)

    def blocked_seconds(self, address: str) -> int:
        """How long the address has to wait; 0 if it may try."""
        with self._lock:
            return self._blocked(address)

    def _blocked(self, address: str) -> int:
        now = self._clock()
        since = now - WINDOW_SECONDS
        times = [time for time in self._by_address.get(address, []) if time > since]
        if address in self._by_address:
            self._by_address[address] = times
        self._all = [time for time in self._all if time > since]
        waits = [
            times[-limit] - since
            for times, limit in ((times, PER_ADDRESS), (self._all, FROM_ALL))
            if len(times) >= limit
        ]
        return int(max(waits)) + 1 if waits else 0
