"""The lines of a text file: character encoding by byte order mark, else UTF-8; bounded in length.

A byte order mark decides. Without one a text is UTF-8. Other encodings are never guessed, because
a wrong guess changes names without a word: the error says how to ask for one.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from tabular.errors import TabularError

ENCODINGS = ("utf-8", "utf-16", "cp1252")
MAX_LINE = 2 << 20  # bytes or characters; also of a CSV row that has line ends in its cells
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def encoding_by_mark(begin: bytes) -> str | None:
    """The encoding that the first bytes of a file name, or None."""
    return next((name for mark, name in _BYTE_ORDER_MARKS if begin.startswith(mark)), None)


def text_lines(
    stream: BinaryIO, name: str, encoding: str | None, first: bytes | None = None
) -> Iterator[str]:
    """Yield the lines with their line ends, which may be those of Unix, Windows or old Macs.

    Args:
        stream: must be at the start of the file, or after its first line.
        name: what error messages call the file.
        encoding: one of `ENCODINGS` for a file without a byte order mark; None is UTF-8.
        first: the bytes of the first line, if they were read already.

    Raises:
        TabularError: bytes of another encoding, a NUL, or a line that is too long.
    """
    number = 0
    for number, line in enumerate(_decoded(stream, name, encoding, first), 1):
        place = f"{name}, line {number}"
        if len(line) > MAX_LINE:
            raise TabularError(f"{place}: longer than {MAX_LINE:,} characters")
        if "\0" in line:
            raise TabularError(
                f"{place}: expected text, received a NUL; a UTF-16 file without a byte order mark "
                "is read with --encoding utf-16"
            )
        if line.count("\r") > line.endswith("\r\n"):
            yield from _LINE.findall(line)
        else:
            yield line


def _decoded(
    stream: BinaryIO, name: str, encoding: str | None, first: bytes | None
) -> Iterator[str]:
    first = stream.readline(MAX_LINE + 1) if first is None else first
    chosen = encoding_by_mark(first) or encoding or "utf-8"
    if chosen == "utf-16":
        codec = "utf-16" if encoding_by_mark(first) else "utf-16-le"  # as Windows has it
        yield from _decoded_utf16(_Prefixed(first, stream), name, codec)
        return
    number, raw = 1, first
    while raw:
        try:
            yield raw.decode(chosen) if len(raw) <= MAX_LINE else "?" * len(raw)
        except UnicodeDecodeError as error:
            raise TabularError(
                f"{name}, line {number}: expected {error.encoding.upper()}, received the byte "
                f"0x{raw[error.start]:02X}; {_hint(chosen)}"
            ) from error
        number, raw = number + 1, stream.readline(MAX_LINE + 1)
        chosen = "utf-8" if chosen == "utf-8-sig" else chosen  # the mark is only at the start


def _decoded_utf16(stream: io.RawIOBase, name: str, encoding: str) -> Iterator[str]:
    number = 1
    with io.TextIOWrapper(io.BufferedReader(stream), encoding, newline="") as text:
        try:
            while line := text.readline(MAX_LINE + 1):
                yield line
                number += 1
        except UnicodeError as error:
            raise TabularError(
                f"{name}, line {number} or after: not UTF-16 ({error}); save the file as UTF-8"
            ) from error


def _hint(encoding: str) -> str:
    if encoding.startswith("utf-8"):
        return (
            "save the file as UTF-8 (in Excel: CSV UTF-8), or read it with --encoding cp1252 if a "
            "program on Windows wrote it"
        )
    return "save the file as UTF-8 and leave --encoding out"


class _Prefixed(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, begin: bytes, rest: BinaryIO) -> None:
        self._begin = begin
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        piece = self._begin[: len(buffer)] or self._rest.read(len(buffer))
        self._begin = self._begin[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
