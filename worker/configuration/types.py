"""The types of setting values: each function parses a value, from text or from TOML.

An invalid value raises ValueError. Its message names the expected type: "a whole number from …".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from rendering.secrets import ENCODE, is_unambiguous
from worker.errors import SettingsError

_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def text(value: Any) -> str:
    """A text, unchanged."""
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def url(value: Any) -> str:
    """A URL whose password can be told from its host."""
    if not isinstance(value, str) or not is_unambiguous(value):
        raise ValueError(f"a URL such as redis://:PASSWORD@HOST:PORT/NUMBER; {ENCODE}")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """A TOML list of texts, or one text with commas; empty items are dropped."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts, separated by commas")
    return tuple(item.strip() for item in value if item.strip())


def locations(value: Any) -> tuple[str, ...]:
    """A list of folders and URLs, as of `texts`.

    A comma in a password would split its URL: what follows a URL, has an ``@`` and is neither a URL
    nor an absolute path is refused.
    """
    items = texts(value)
    for before, item in pairwise(items):
        if "://" in before and "@" in item and "://" not in item and not item.startswith("/"):
            raise ValueError(
                "a list of folders and URLs; percent-encode a comma in a password (%2C), and give "
                "a folder with @ in its name as an absolute path"
            )
    return items


def networks(value: Any) -> tuple[str, ...]:
    """A list of addresses and networks, as of `texts`: ``10.0.0.1,192.168.0.0/16``."""
    items = texts(value)
    try:
        return tuple(str(ipaddress.ip_network(item)) for item in items)
    except ValueError:
        raise ValueError("a list of addresses and networks such as 10.0.0.0/8") from None


def number(
    low: float, high: float, number_type: type[int] | type[float] = int
) -> Callable[[Any], Any]:
    """A number from `low` to `high`, both included."""

    def parse(value: Any) -> int | float:
        expected = (
            f"{'a whole number' if number_type is int else 'a number'} from {low:g} to {high:g}"
        )
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(expected)
        try:
            parsed = number_type(value)
        except (ValueError, OverflowError):
            raise ValueError(expected) from None
        if not low <= parsed <= high or (isinstance(value, float) and parsed != value):
            raise ValueError(expected)
        return parsed

    return parse


def flag(value: Any) -> bool:
    """``true`` or ``false``."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return value.lower() == "true"


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of these texts."""

    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return parse


def device(value: Any) -> str:
    """``auto``, ``cpu`` or ``gpu:`` and a number."""
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|gpu:\d+", value):
        raise ValueError("auto, cpu or gpu:NUMBER")
    return value


def duration_seconds(text: str) -> float:
    """The seconds of a duration of a command: ``30s``, ``10m``, ``2h``, ``1d``; ``30`` is seconds.

    Raises:
        SettingsError: the text is not a duration.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None:
        raise SettingsError(f"expected a duration such as 30s, 10m or 2h, received {text!r}")
    return float(match[1]) * _SECONDS_PER_UNIT[match[2] or "s"]
