"""Who holds a lease: the name of one life of one process, and whether that process still lives.

A name is ``HOST:SPACE:PID:START``. SPACE stands for the machine's boot and the process space that
the number is valid in, so that a container, or a machine that was restarted, never judges a
process that it cannot see. Where a process of this very space is gone, its leases need not run
out: the next run on this machine lets them expire at once.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import Protocol

import psutil


class LeaseHolders(Protocol):
    """The part of a catalogue that knows who holds leases."""

    def owners(self) -> list[str]: ...

    def expire(self, owner: str) -> int: ...


def space() -> str:
    """Names what a process number is valid in: this boot of this machine, this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        inside = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux
        boot, inside = f"{psutil.boot_time():.0f}", socket.gethostname()
    return hashlib.blake2b(f"{boot} {inside}".encode(), digest_size=6).hexdigest()


def this_owner(pid: int | None = None) -> str:
    """The name of this process, or of another one of this machine, in this life of it."""
    pid = os.getpid() if pid is None else pid
    host = socket.gethostname().replace(":", "-")
    return f"{host}:{space()}:{pid}:{_start(pid)}"


def is_dead(owner: str) -> bool:
    """Whether the owner certainly lives no more; False whenever that cannot be seen from here."""
    parts = owner.split(":")
    if len(parts) != 4 or parts[1] != space() or not parts[2].isdigit():
        return False
    try:
        process = psutil.Process(int(parts[2]))
        return process.status() == psutil.STATUS_ZOMBIE or _start(process.pid) != parts[3]
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def expire_dead(holders: LeaseHolders) -> int:
    """Let the leases of dead processes of this machine run out now; returns how many rows."""
    return sum(holders.expire(owner) for owner in holders.owners() if is_dead(owner))


def _start(pid: int) -> str:
    """When the process began, in hundredths of a second: numbers are used again, times are not."""
    return str(round(psutil.Process(pid).create_time() * 100))
