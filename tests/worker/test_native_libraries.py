"""Start-up messages of libraries are suppressed; everything else is printed."""

from __future__ import annotations

import subprocess
import sys

WRITES = """
import os, sys
from worker.native_libraries import suppress_startup_messages
try:
    with suppress_startup_messages():
        os.write(2, b"I0000 00:00:1 1 port.cc:153] oneDNN custom operations are on.\\n")
        os.write(2, b"a real complaint\\n")
        if len(sys.argv) > 1:
            raise ValueError("broken")
except ValueError:
    pass
os.write(2, b"after\\n")
"""


def said(*arguments: str) -> str:
    command = [sys.executable, "-c", WRITES, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_startup_messages_are_dropped_and_errors_kept() -> None:
    assert said() == "a real complaint\nafter\n"


def test_everything_is_passed_on_when_the_block_raises() -> None:
    assert said("raise").startswith("I0000")
