"""Rows of JSON lines, or of one JSON array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from tabular.errors import TabularError
from tabular.lines import MAX_LINE

_BLANKS = " \t\r\n"


def _constant(name: str) -> None:
    """NaN, which Python writes for a gap, is one; infinity is no value."""
    if name != "NaN":
        raise ValueError(f"{name} is no number")


_decoder = json.JSONDecoder(parse_constant=_constant)


def line_rows(
    lines: Iterator[str], name: str, columns: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, values) of each line; blank lines are skipped."""
    for number, line in enumerate(lines, 1):
        if text := line.strip():
            place = f"{name}, line {number}"
            try:
                record = _decoder.decode(text)
            except (ValueError, RecursionError) as error:
                _refuse(place, error)
            yield place, _chosen(record, place, columns)


def array_rows(
    lines: Iterator[str], name: str, columns: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, values) of each object of one array, read piece by piece."""
    text = _Text(lines)
    text.skip("[")
    expected = "{]"
    while (sign := text.next_sign()) != "]" or "]" not in expected:
        place = f"{name}, line {text.number}"
        if sign not in expected or not sign:
            shown = text.begin() or "the end of the file"
            raise TabularError(f"{place}: expected an object of the array, received {shown!r:.60}")
        if sign == ",":
            text.skip(",")
            expected = "{"
            continue
        yield place, _chosen(text.value(place), place, columns)
        expected = ",]"
    text.skip("]")
    if text.next_sign():
        raise TabularError(f"{name}, line {text.number}: expected nothing after the array")


class _Text:
    """The text of which values are taken from the front; more of it is read when needed."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._text = ""
        self._at = 0
        self.number = 1

    def _more(self, size: int = 1) -> bool:
        self._text, self._at = self._text[self._at :], 0
        pieces = [self._text]
        while size > 0 and (line := next(self._lines, "")):
            pieces.append(line)
            size -= len(line)
        self._text, before = "".join(pieces), len(self._text)
        return len(self._text) > before

    def next_sign(self) -> str:
        """Skip blanks; the next character, empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANKS:
                self.number += self._text[self._at] == "\n"
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, sign: str) -> None:
        """Go on after the sign, which is the next one."""
        if self.next_sign() == sign:
            self._at += 1

    def begin(self) -> str:
        """What comes next, for an error message."""
        return self._text[self._at : self._at + 50].strip()

    def value(self, place: str) -> Any:
        """The JSON value that begins here; longer texts are tried until it is whole."""
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._at)
            except RecursionError as error:
                _refuse(place, error)
            except ValueError as error:
                have = len(self._text) - self._at
                if have > MAX_LINE or not self._more(have):  # twice as much each time
                    _refuse(place, error)
            else:
                self.number += self._text.count("\n", self._at, end)
                self._at = end
                return value


def _refuse(place: str, error: Exception) -> NoReturn:
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    raise TabularError(f"{place}: expected JSON: {reason}") from error


def _chosen(record: Any, place: str, columns: Sequence[str]) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise TabularError(f"{place}: expected an object, received {record!r:.100}")
    return {name: record[name] for name in columns if name in record}
