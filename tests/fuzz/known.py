"""Findings of the fuzzer that are known and not mended yet: (target, beginning of the finding).

A line goes when its fault is mended; a run with fixed cases then fails if it comes back.
"""

from __future__ import annotations

KNOWN: tuple[tuple[str, str], ...] = ()


def is_known(target: str, what: str) -> bool:
    """Whether a finding is one of those."""
    return any(target == where and what.startswith(begin) for where, begin in KNOWN)
