"""How many threads a runtime may use."""

from __future__ import annotations

import os


def available_cores() -> int:
    """How many cores this process may use; the machine's where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
