"""Convert paths between text (in messages and rows) and bytes (on disk).

A name that is valid UTF-8 is its text. Any other becomes a ``file://`` URL with %XX escapes, which
survives JSON, UTF-8 databases and terminals, and converts back to the same file. The text depends
only on the bytes of the name, so workers may differ in their locale. A path of the operating system
is a str as Python has it: the bytes, decoded with the file-system encoding.
"""

from __future__ import annotations

import os
from urllib.parse import quote_from_bytes, unquote_to_bytes

from cascade.pictures.archives import SEPARATOR

_FILE_URL = "file://"


def to_text(os_path: str | bytes) -> str:
    """The text of a path of the operating system. Made absolute; links are not resolved."""
    return _text(os.path.abspath(os.fsdecode(os_path)))  # noqa: PTH100 - Path resolves no '..'


def member_to_text(archive: str, name: str) -> str:
    """The text of the path of a member of an archive; a ``..`` in its name stays."""
    return _text(f"{os.path.abspath(archive)}{SEPARATOR}{name}")  # noqa: PTH100


def _text(absolute: str) -> str:
    if absolute.isascii() and "\0" not in absolute:  # nearly all paths: nothing to escape
        return absolute
    raw = os.fsencode(absolute)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return _FILE_URL + quote_from_bytes(raw, safe="/")
    # a NUL is not valid in a file name or in a database, but a list on stdin may contain it
    return text if "\0" not in text else _FILE_URL + quote_from_bytes(raw, safe="/")


def to_os_path(text: str) -> str:
    """The path for the operating system of a text by `to_text` or `root_to_text`."""
    if text.startswith(_FILE_URL):
        return os.fsdecode(unquote_to_bytes(text.removeprefix(_FILE_URL)))
    if text.isascii():
        return text
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def given_path(path: str) -> str:
    """The path for the operating system of a path that a person gave: it, or a ``file://`` URL."""
    return to_os_path(path) if path.startswith(_FILE_URL) else path


def root_to_text(root: str) -> str:
    """The text of a root in a message; bytes that are not UTF-8 are surrogate escapes."""
    return os.fsencode(root).decode("utf-8", "surrogateescape")


def is_url(text: str) -> bool:
    """Whether the text is a URL of an object store (``s3://…``), not a path or a file:// URL."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.isalnum() and scheme != "file"
