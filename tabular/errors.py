"""The error of this room."""

from __future__ import annotations


class TabularError(Exception):
    """A file of rows cannot be read; the message names the file, the line and what to do."""
