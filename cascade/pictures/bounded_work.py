"""A limit on the time that one picture may take, in every command, whatever its format.

The limits on pixels and on bytes bound the work in the decoders' own loops. This module bounds
the loops in Python over a file's blocks, of which a hostile file has millions.
"""

from __future__ import annotations

import io
import time

MAX_SECONDS = 20.0  # of a core; the largest good pictures need 5
_READS_BETWEEN_LOOKS = 128


class TooMuchWork(OSError):
    """The picture would take too long to decode."""


class Deadline:
    """The end of the time for one picture, in the processor time of the calling thread.

    Processor time, so that a suspended or overloaded machine rejects nothing.
    """

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        self._seconds = seconds
        self._end = time.thread_time() + seconds

    def check(self) -> None:
        """Raise TooMuchWork if the time is over."""
        if time.thread_time() > self._end:
            raise TooMuchWork(f"more than {self._seconds:g} seconds of processor time")


class BoundedReader(io.BytesIO):
    """The bytes of a picture as a file that raises TooMuchWork after the deadline."""

    def __init__(self, data: bytes, deadline: Deadline) -> None:
        super().__init__(data)
        self._deadline = deadline
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; look at the clock now and then, because a look costs as much as a read."""
        self._reads += 1
        if self._reads % _READS_BETWEEN_LOOKS == 0:
            self._deadline.check()
        return super().read(size)
