"""Paths are text in messages and rows; on disk they are bytes. The two ways between them.

A name that is valid UTF-8 stands as it is. Any other becomes a ``file://`` URL with %XX escapes,
so that it survives JSON, UTF-8 databases and a terminal, and finds its file again.
"""

from __future__ import annotations

import os
from urllib.parse import quote_from_bytes, unquote_to_bytes

_ESCAPED = "file://"


def to_text(os_path: str | bytes) -> str:
    """The text of a path of the operating system. Made absolute; links are left as they are."""
    absolute = os.path.abspath(os.fsdecode(os_path))  # noqa: PTH100 - Path resolves no '..'
    if absolute.isascii() and "\0" not in absolute:  # nearly all of millions: nothing to escape
        return absolute
    raw = os.fsencode(absolute)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return _ESCAPED + quote_from_bytes(raw, safe="/")
    # no file has a NUL in its name and no database takes one, but a list on stdin may hold it
    return text if "\0" not in text else _ESCAPED + quote_from_bytes(raw, safe="/")


def to_os_path(text: str) -> str:
    """The path for the operating system (with surrogate escapes) of a text by `to_text`."""
    if text.startswith(_ESCAPED):
        return os.fsdecode(unquote_to_bytes(text.removeprefix(_ESCAPED)))
    return text


def is_url(text: str) -> bool:
    """Whether the text names a file in an object store (``s3://…``), not on a disk."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.isalnum() and scheme != "file"
