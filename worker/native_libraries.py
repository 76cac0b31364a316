"""Suppress start-up messages of native libraries, and release memory that they freed."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# TensorFlow writes to file descriptor 2 before it applies its own log level
STARTUP_MESSAGES = re.compile(
    rb"^(I0000 |INFO: Created TensorFlow Lite"
    rb"|E0000 .*failed call to cuInit"
    rb"|WARNING: All log messages before absl"
    rb"|To enable the following instructions"
    rb"|Matplotlib created a temporary cache directory"
    rb"|\d{4}-\d\d-\d\d [\d:.]+: I )"
)


@contextmanager
def suppress_startup_messages() -> Iterator[None]:
    """Hold back stderr (file descriptor 2) in the block; then pass on all but start-up messages.

    If the block raises, everything is passed on, since the messages may explain the error.
    """
    try:
        saved = os.dup(2)
    except OSError:  # stderr is closed: nothing to suppress
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
            kept = b"".join(line for line in held if failed or not STARTUP_MESSAGES.match(line))
            if kept:
                os.write(2, kept)


def start_tensorflow() -> None:
    """Import and start TensorFlow without what it says about this machine."""
    with suppress_startup_messages():
        import tensorflow as tf

        tf.constant(0.0)  # the runtime starts with the first operation


def release_free_memory() -> None:
    """Return freed memory to the operating system (``malloc_trim``).

    Building TensorFlow's graph and running it once leaves 200 MB of freed memory in the process.
    Does nothing without the GNU C library.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return
