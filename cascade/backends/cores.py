"""Counts the CPU cores that this process may use: by its affinity, and by a container's quota.

A container with ``--cpus 2`` on a machine of 64 cores sees all 64, and the kernel stops it for the
rest of each tenth of a second in which it has used its share. Linux keeps the quota in the control
group: ``cpu.max`` in version 2, ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` in version 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MOUNTS_1: tuple[str, ...] = ("cpu", "cpu,cpuacct", "cpuacct,cpu")
MOUNTS_2: tuple[str, ...] = ("", "unified")


def available_cores(root: Path = Path("/")) -> int:
    """The cores that this process may use, at least one; all where the system does not tell.

    A quota that is no whole number is rounded up.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """The quota in cores of each control group that this process is in, and of those above it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mounts, read = MOUNTS_2, _quota_2
        elif "cpu" in controllers.split(","):
            mounts, read = MOUNTS_1, _quota_1
        else:
            continue
        # in a container the path may be the host's; its own group is then at the mount itself
        inside = PurePosixPath("/", path)
        for mount in mounts:
            for group in (inside, *inside.parents):
                quota = read(root / "sys/fs/cgroup" / mount / str(group).lstrip("/"))
                if quota is not None:
                    yield quota


def _quota_2(group: Path) -> float | None:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    return _share(quota, period)


def _quota_1(group: Path) -> float | None:
    return _share(_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us"))


def _share(quota: str, period: str) -> float | None:
    """`quota` of each `period`, both in microseconds; None for no quota (``max``, -1)."""
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
