"""Ctrl-C gives exit code 130 at any time: 1 would mean that some pictures were rejected."""

from __future__ import annotations

import signal
import subprocess
import sys

STOPS_ITSELF = """
import os, signal, sys
import cli, click

# as from a terminal, also where the tests were started in the background, with SIGINT ignored
signal.signal(signal.SIGINT, signal.default_int_handler)

@click.command()
def command():
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        signal.pause()

cli.main.add_command(command, "slow")
cli.LazyGroup.get_command = lambda self, ctx, name: command
cli.main(["slow"])
"""


def test_ctrl_c_without_a_handler_gives_130() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPS_ITSELF], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "stopped\n"
