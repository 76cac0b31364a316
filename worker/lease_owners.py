"""Names of lease owners: one process in one life, and whether that process is still alive.

A name is ``HOST:NAMESPACE:PID:START``, or ``HOST:NAMESPACE:PID:START:NAME`` where the setting
`worker_name` is set. NAMESPACE identifies host, boot and PID namespace, so that a container or a
restarted machine never judges a process that it cannot see. START is in the kernel's ticks since
the boot: a step of the clock does not change it. If a process of this namespace is dead, its
leases need not run out: the next run on this machine expires them at once. A process with a
worker's name does the same for an earlier life of that name, which it cannot see.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import Protocol

import psutil

FORMAT = "2"  # names of other versions count their START differently, and are never compared


class LeaseStore(Protocol):
    """The part of a catalogue that knows who holds leases."""

    def owners(self) -> list[str]: ...

    def expire(self, owner: str) -> int: ...


def pid_namespace() -> str:
    """Identifies where a PID is valid: this boot of this machine, this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux, where start times are fixed and tell one boot from another
        boot = namespace = ""
    text = f"{FORMAT} {socket.gethostname()} {boot} {namespace}"
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def this_owner(pid: int | None = None, *, name: str = "") -> str:
    """The owner name of this process, or of another process of this machine.

    Args:
        pid: the other process.
        name: the worker's name, the same in each of its lives; '' for none.
    """
    pid = os.getpid() if pid is None else pid
    host = socket.gethostname().replace(":", "-")
    owner = f"{host}:{pid_namespace()}:{pid}:{_start(pid)}"
    return f"{owner}:{name.replace(':', '-')}" if name else owner


def is_dead(owner: str, *, name: str = "") -> bool:
    """Whether the owner is certainly dead; False if that cannot be seen from here.

    Args:
        owner: a name that `this_owner` made.
        name: the name of this worker: an owner of this name elsewhere was its earlier life.
    """
    parts = owner.split(":", 4)
    if len(parts) < 4 or not parts[2].isdigit():
        return False
    if parts[1] != pid_namespace():
        return bool(name) and parts[4:] == [name.replace(":", "-")]
    pid = int(parts[2])
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE or _start(pid) != parts[3]
    except psutil.NoSuchProcess:
        return not _exists(pid)
    except psutil.Error:
        return False


def expire_dead_owners(store: LeaseStore, *, name: str = "") -> int:
    """Expire the leases of dead processes; returns how many rows.

    Those are dead processes of this machine, and earlier lives of the worker called `name`.
    """
    return sum(store.expire(owner) for owner in store.owners() if is_dead(owner, name=name))


def _start(pid: int) -> str:
    """When the process started: a PID is reused, a PID with its start is not.

    Not psutil's `create_time`, which on Linux is computed from the wall clock of this moment.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]  # field 22; the name in field 2 may have spaces
    except (FileNotFoundError, ProcessLookupError):
        return str(round(psutil.Process(pid).create_time() * 100))  # not Linux, or no such process


def _exists(pid: int) -> bool:
    """Whether there is such a process, also where /proc hides those of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
