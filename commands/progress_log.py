"""Shows the log lines of `cascade` on standard error while a command runs."""

from __future__ import annotations

import logging
import sys

import click


def log_to_stderr() -> None:
    """Show the log lines of the logger `cascade` until the running command ends."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("cascade")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def restore() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    click.get_current_context().call_on_close(restore)
