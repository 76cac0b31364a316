"""Names of lease owners, and when their leases expire."""

from __future__ import annotations

import subprocess
import sys

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


def test_only_leases_of_the_dead_expire() -> None:
    store = MemoryStore()
    dead = f"h:{pid_namespace()}:{2**22 + 5}:1"
    store.claim("x", [FileState("/a")], dead, 60.0, "m")
    store.claim("x", [FileState("/b")], "another:0000:1:1", 60.0, "m")
    assert expire_dead_owners(store) == 1
    claim = store.claim("x", [FileState("/a"), FileState("/b")], "me", 60.0, "m")
    assert ([f.path for f in claim.suspects], claim.busy) == (["/a"], ["/b"])
