"""A flag that a signal handler sets while the main thread waits for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# two thousand waits that are interrupted; with threading.Event it hangs in the first thousand
PROGRAM = """
import signal
from worker.concurrency import StopFlag

stop, handled = StopFlag(), 0

def handler(*_):
    global handled
    stop.set()
    handled += 1

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
while handled < 2000:
    stop.wait(1e-5)
    stop.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
stop.set()
assert stop.wait(0) and stop.is_set()
"""


def test_a_handler_that_interrupts_a_wait_ends() -> None:
    program = [sys.executable, "-c", PROGRAM]
    subprocess.run(program, cwd=ROOT, check=True, timeout=120)
