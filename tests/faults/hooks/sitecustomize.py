"""A wall clock that a file steps, for the workers of the campaign; and the hooks of tests/worker.

``CLOCK_IN`` names a file with seconds to add. ``time.time`` follows it, and psutil's time of boot,
which Linux computes from the wall clock. The clocks of C libraries and of the kernel stay.
"""

import os
import runpy
import sys
import time
from pathlib import Path

_time, _file = time.time, os.environ.get("CLOCK_IN")
_read = {"at": 0.0, "offset": 0.0}


def offset() -> float:
    """The seconds in the file, looked at ten times a second at most."""
    now = time.monotonic()
    if now - _read["at"] > 0.1:
        try:
            with open(_file) as file:  # noqa: PTH123
                _read["offset"] = float(file.read() or 0)
        except (OSError, ValueError):
            pass
        _read["at"] = now
    return _read["offset"]


def step_psutil() -> None:
    """Let psutil compute its time of boot from the stepped clock, as it would from a real one."""
    import psutil._pslinux as linux

    boot_time = linux.boot_time
    linux.boot_time = lambda: boot_time() + offset()


if _file:
    time.time = lambda: _time() + offset()
    if sys.platform == "linux":
        step_psutil()
runpy.run_path(str(Path(__file__).parents[2] / "worker" / "hooks" / "sitecustomize.py"))
