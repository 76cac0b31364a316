"""Which files are taken for pictures, by name: one rule for labelling, training and evaluation.

All files are taken, also with a wrong ending or none (``a.jpg?w=200``), except hidden ones and
those with the ending of something else (``notes.txt``, ``catalogue.db``). Their content decides
later (`cascade.pictures.formats`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

# endings of files that are not pictures; other endings are not trusted
_OTHER_ENDINGS = """
    .7z .avi .bz2 .cfg .css .csv .db .db-journal .db-shm .db-wal .doc .docx .gz .ini .ipynb
    .jinja .js .json .jsonl .log .m4a .md .mkv .mov .mp3 .mp4 .ndjson .parquet .pdf .py .rar
    .rst .sh .sqlite .sqlite3 .tar .tgz .toml .tsv .txt .wav .webm .xls .xlsx .xml .xz .yaml
    .yml .zip .zst
"""
OTHER_ENDINGS = frozenset(_OTHER_ENDINGS.split())


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, so that it and all below it are left out."""
    return name.startswith(".")


def other_ending(name: str) -> str | None:
    """The ending of a file name, in lower case, if it is that of something else; else None."""
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a name of any bytes
    return ending if ending in OTHER_ENDINGS else None


def _ignore(*_: object) -> None:
    """Do nothing with what was left out."""


def picture_files(
    folder: str,
    *,
    on_other: Callable[[str], None] = _ignore,
    on_unreadable: Callable[[str, OSError], None] = _ignore,
) -> Iterator[str]:
    """Yield the picture files below a folder, in the order of the disk.

    Links to files are taken; links to folders are not followed, so every walk ends. Memory grows
    only with the depth.

    Args:
        folder: The folder; it may itself be hidden.
        on_other: Gets the ending of each file that is something else.
        on_unreadable: Gets each folder below that cannot be read, and the error.

    Raises:
        OSError: The folder cannot be read, or its disk went away.
    """
    stack = [os.scandir(folder)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop().close()
        elif is_hidden(entry.name):
            continue
        elif entry.is_dir(follow_symlinks=False):
            try:
                stack.append(os.scandir(entry.path))
            except OSError as error:
                on_unreadable(entry.path, error)
        elif entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112
            continue
        elif (ending := other_ending(entry.name)) is not None:
            on_other(ending)
        else:
            yield entry.path
