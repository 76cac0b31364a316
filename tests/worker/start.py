"""Start a command with a decoder that dies on marked files: ``python -m tests.worker.start …``.

A file whose bytes begin with ``POISON`` ends the process that opens it, as a decoder with a bug
does; ``SLOW`` in the environment makes each picture take so many seconds. Nothing else differs from
``fashion-cascade``. The pool's processes are fresh interpreters, so they get the hook through
``sitecustomize``, on a path of their own.
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
