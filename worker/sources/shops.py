"""Which shop a picture is from: one name for all, the name of a folder, or a part of the path."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from db.records import FileState, PendingRow
from worker.errors import InputError
from worker.sources.paths import is_url, to_os_path

FOLDER = "folder"


@dataclass(frozen=True)
class Shops:
    """How to tell the shop of a picture; without `name` and `pattern`, by its folder."""

    name: str | None = None
    pattern: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, name: str | None, source: str | None) -> Shops | None:
        """From a name, or from `source`: 'folder' or a regular expression. None without both.

        Raises:
            InputError: both were given, an empty name, or no regular expression.
        """
        if name is not None and source is not None:
            raise InputError("expected --shop or --shop-from, received both")
        if name is not None:
            if not name.strip() or "\0" in name:
                raise InputError(f"--shop: expected a name, received {name!r}")
            return cls(name)
        if source is None:
            return None
        if source == FOLDER:
            return cls()
        try:
            return cls(pattern=re.compile(source))
        except (re.error, RecursionError, OverflowError) as error:
            raise InputError(
                f"--shop-from: expected 'folder' or a regular expression, such as "
                f"'/shops/([^/]+)/', received {source!r}: {error}"
            ) from error

    def of(self, path: str, folder: str | None = None) -> str | None:
        """The shop of the picture at `path`, a text of `worker.sources.paths`; None: not known.

        By folder, it is the first folder below `folder`, or the file's own folder if `folder` is
        None: the picture was named by itself or in a list. A pattern is searched in the whole path;
        the shop is its first group, or all that it matches.
        """
        if self.name is not None:
            return self.name
        plain = path if is_url(path) else to_os_path(path)
        if self.pattern is not None:
            found = self.pattern.search(_readable(plain))
            text = found and found[1 if self.pattern.groups else 0]
            return text or None
        if folder is None:
            return _readable(plain.rpartition("/")[0].rpartition("/")[2]) or None
        first, below, _ = plain.removeprefix(folder.rstrip("/") + "/").partition("/")
        return _readable(first) if below else None

    def files(self, files: Iterable[FileState], folder: str | None) -> Iterator[FileState]:
        """The files with their shop."""
        for file in files:
            yield replace(file, shop=self.of(file.path, folder))

    def rows(self, rows: Iterable[PendingRow], folder: str | None) -> Iterator[PendingRow]:
        """The rows with their shop; one that a manifest gives stays."""
        for row in rows:
            yield replace(row, shop=row.shop or self.of(row.path, folder))


def _readable(os_path: str) -> str:
    """A path or name as text that a catalogue can hold; bytes that are not UTF-8 as \\xNN."""
    return os.fsencode(os_path).decode("utf-8", "backslashreplace").replace("\0", "\\x00")
