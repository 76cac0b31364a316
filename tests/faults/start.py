"""Start a command slowed down, with a wall clock that can be stepped.

``python -m tests.faults.start ARGUMENTS``; see ``hooks/sitecustomize.py``. Nothing else
differs from ``fashion-cascade``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cli import main

if __name__ == "__main__":
    hooks = str(Path(__file__).with_name("hooks"))
    os.environ["PYTHONPATH"] = os.pathsep.join([hooks, os.environ["PYTHONPATH"]])
    main(sys.argv[1:])
