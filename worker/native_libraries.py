"""What native libraries leave behind: chatter on a person's terminal, memory that nobody uses."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# TensorFlow greets on file descriptor 2 before its own log level is looked at
CHATTER = re.compile(
    rb"^(I0000 |INFO: Created TensorFlow Lite"
    rb"|E0000 .*failed call to cuInit"
    rb"|WARNING: All log messages before absl"
    rb"|To enable the following instructions"
    rb"|\d{4}-\d\d-\d\d [\d:.]+: I )"
)


@contextmanager
def suppress_startup_messages() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 inside; afterwards pass on all but greetings.

    Everything is passed on when the block raises: then the greetings may be the explanation.
    """
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all: nothing to keep quiet
        yield
        return
    failed = True
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            kept = b"".join(line for line in held if failed or not CHATTER.match(line))
            if kept:
                os.write(2, kept)


def release_free_memory() -> None:
    """Give what was freed back to the system; it does not come back by itself.

    Building TensorFlow's graph and running it once leaves 200 MB of holes. Does nothing where the
    C library is not GNU's.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return
