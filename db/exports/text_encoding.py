"""Values as text: JSON, CSV cells that no spreadsheet runs, and lines that no terminal obeys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rendering.text import printable

# a spreadsheet takes a cell that begins with one of these for a formula; the apostrophe is the
# escape itself, so that `from_cell` can take it off again without guessing
_RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")


def plain(value: Any) -> Any:
    """The value as JSON knows it: times as ISO 8601 in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def json_line(record: Mapping[str, Any]) -> str:
    """One record as one line of JSON, without its newline."""
    return json.dumps({name: plain(value) for name, value in record.items()}, ensure_ascii=False)


def to_cell(value: Any) -> str:
    """The value as a CSV cell; text that a spreadsheet would run gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_RUNS) else value
    return str(plain(value))


def from_cell(cell: str) -> str:
    """The text that `to_cell` was given."""
    return cell[1:] if cell.startswith("'") else cell


def to_terminal(value: Any) -> str:
    """The value as text of one line, control and direction characters escaped."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:.0f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return printable(str(value))
