"""Names of lease owners: one process in one life, and whether that process is still alive.

A name is ``HOST:NAMESPACE:PID:START``. NAMESPACE identifies the boot of the machine and the PID
namespace, so that a container or a restarted machine never judges a process that it cannot see.
If a process of this namespace is dead, its leases need not run out: the next run on this machine
expires them at once.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import Protocol

import psutil


class LeaseStore(Protocol):
    """The part of a catalogue that knows who holds leases."""

    def owners(self) -> list[str]: ...

    def expire(self, owner: str) -> int: ...


def pid_namespace() -> str:
    """Identifies where a PID is valid: this boot of this machine, this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        boot, namespace = f"{psutil.boot_time():.0f}", socket.gethostname()
    return hashlib.blake2b(f"{boot} {namespace}".encode(), digest_size=6).hexdigest()


def this_owner(pid: int | None = None) -> str:
    """The owner name of this process, or of another process of this machine."""
    pid = os.getpid() if pid is None else pid
    host = socket.gethostname().replace(":", "-")
    return f"{host}:{pid_namespace()}:{pid}:{_start(pid)}"


def is_dead(owner: str) -> bool:
    """Whether the owner is certainly dead; False if that cannot be seen from here."""
    parts = owner.split(":")
    if len(parts) != 4 or parts[1] != pid_namespace() or not parts[2].isdigit():
        return False
    try:
        process = psutil.Process(int(parts[2]))
        return process.status() == psutil.STATUS_ZOMBIE or _start(process.pid) != parts[3]
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def expire_dead_owners(store: LeaseStore) -> int:
    """Expire the leases of dead processes of this machine; returns how many rows."""
    return sum(store.expire(owner) for owner in store.owners() if is_dead(owner))


def _start(pid: int) -> str:
    """The start time in 1/100 s: a PID is reused, a PID with its start time is not."""
    return str(round(psutil.Process(pid).create_time() * 100))
