"""Durations as people write them: ``30s``, ``10m``, ``2h``, ``1d``."""

from __future__ import annotations

import re

from worker.errors import SettingsError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """The seconds of a duration; a bare number is seconds.

    Raises:
        SettingsError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None:
        raise SettingsError(f"expected a duration such as 30s, 10m or 2h, received {text!r}")
    return float(match[1]) * _UNITS[match[2] or "s"]
