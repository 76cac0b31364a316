"""Signal a command at one point: ``-m tests.commands.dying MODULE:NAME NUMBER SIGNAL COMMAND…``.

It gets SIGNAL (SIGKILL, SIGTERM) right before call NUMBER of the function MODULE:NAME. Relabelling
uses small steps.
"""

from __future__ import annotations

import signal
import sys

from cli import main
from db import relabelling
from tests.dying import die_before
from worker import local

if __name__ == "__main__":
    relabelling.ROWS_PER_TRANSACTION = 8
    local.PATHS_PER_SHARD = 16
    place, number, name, *arguments = sys.argv[1:]
    die_before(place, int(number), signal.Signals[name])
    main(arguments)
