"""Encoding values as text: JSON, CSV cells safe in a spreadsheet, lines safe on a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rendering.text import printable

# A spreadsheet runs a cell that begins with one of these as a formula. The apostrophe is the escape
# character, so it is escaped too and `from_cell` can decode without guessing.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")


def plain(value: Any) -> Any:
    """The value as JSON can encode it: times as ISO 8601 in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def json_line(record: Mapping[str, Any]) -> str:
    """One record as one line of JSON, without the newline."""
    return json.dumps({name: plain(value) for name, value in record.items()}, ensure_ascii=False)


def to_cell(value: Any) -> str:
    """The value as a CSV cell; an apostrophe is put before text that is a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    return str(plain(value))


def from_cell(cell: str) -> str:
    """The text that `to_cell` encoded."""
    return cell[1:] if cell.startswith("'") else cell


def to_terminal(value: Any) -> str:
    """The value as one line of text, with control and direction characters escaped."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:.0f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return printable(str(value))
