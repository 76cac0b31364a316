"""Names of lease owners, and when their leases expire."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from db.records import FileState
from worker.lease_owners import expire_dead_owners, is_dead, pid_namespace, this_owner
from worker.memory_store import MemoryStore


def test_an_owner_is_dead_only_when_that_can_be_seen() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = this_owner(process.pid)
    assert not is_dead(owner)
    process.kill()
    process.wait()
    assert is_dead(owner)
    host, here, pid, start = this_owner().split(":")
    assert not is_dead(this_owner())
    assert is_dead(f"{host}:{here}:{pid}:{int(start) - 500}")  # the PID was reused
    assert not is_dead(f"{host}:{'0' * len(pid_namespace())}:999999:1")  # elsewhere
    assert not is_dead("somebody")
    if process.stdin is not None:
        process.stdin.close()


def test_a_step_of_the_clock_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux, psutil computes a start time from the clock; the owner's name must not."""
    owner = this_owner()
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: real(process) + 1.0)
    assert this_owner() == owner
    assert not is_dead(owner)
    ticks = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    assert owner.split(":")[3] == ticks


def test_the_earlier_life_of_a_named_worker_is_dead() -> None:
    """A container that starts again cannot see its earlier processes; its name tells."""
    host, here, pid, start = this_owner().split(":")
    elsewhere = "0" * len(here)
    assert is_dead(f"{host}:{elsewhere}:{pid}:{start}:pod-1", name="pod-1")
    assert not is_dead(f"{host}:{elsewhere}:{pid}:{start}:pod-2", name="pod-1")
    assert not is_dead(f"{host}:{elsewhere}:{pid}:{start}:pod-1")
    assert not is_dead(f"{host}:{elsewhere}:{pid}:{start}", name="")
    mine = this_owner(name="a:b")  # its own processes are judged by what can be seen
    assert mine.endswith(":a-b")
    assert not is_dead(mine, name="a:b")


def test_owners_of_an_earlier_version_are_not_judged() -> None:
    """It counted hundredths of a second of the clock, and no host, in the same places."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    text = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    namespace = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    assert not is_dead(f"host:{namespace}:{os.getpid()}:{round(time.time() * 100)}")


def test_only_leases_of_the_dead_expire() -> None:
    store = MemoryStore()
    dead = f"h:{pid_namespace()}:{2**22 + 5}:1"
    store.claim("x", [FileState("/a")], dead, 60.0, "m")
    store.claim("x", [FileState("/b")], "another:0000:1:1", 60.0, "m")
    assert expire_dead_owners(store) == 1
    claim = store.claim("x", [FileState("/a"), FileState("/b")], "me", 60.0, "m")
    assert ([f.path for f in claim.suspects], claim.busy) == (["/a"], ["/b"])
