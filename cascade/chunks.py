"""Slices of a long array, for work in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``count`` items in order."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
