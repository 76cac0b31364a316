"""Processes that get a signal at one place: right before a certain call, so that no timing is left
to chance."""

from __future__ import annotations

import importlib
import os
import signal
from typing import Any


def die_before(place: str, number: int, by: int = signal.SIGKILL) -> None:
    """Wrap ``module:name`` (or ``module:Class.name``): the process gets `by` before call `number`.

    After SIGKILL the call is never made.
    """
    module, _, path = place.partition(":")
    holder: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for one in classes:
        holder = getattr(holder, one)
    wrapped, seen = getattr(holder, name), 0

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), by)
        return wrapped(*arguments, **options)

    setattr(holder, name, counting)
