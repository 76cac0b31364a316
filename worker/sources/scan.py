"""Find the files to label: folders (walked lazily), archives, single files, lists of paths.

Only name and size are read; the decoders open the files. `cascade.pictures.files` says which files
in a folder are taken; those with the ending of something else are counted. Links to files are taken
(a link out of its root is rejected when it is opened). Files that are named one by one are all
taken.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from cascade.pictures import safe_read
from cascade.pictures.archives import is_archive, is_compressed_tar
from cascade.pictures.files import is_hidden, other_ending, picture_files
from db.records import FileState, PendingRow
from tabular.errors import TabularError
from tabular.lines import MAX_LINE, encoding_by_mark, text_lines
from worker.errors import InputError, RootGone
from worker.sources.paths import given_path, is_url, member_to_text, to_text
from worker.sources.shops import Shops


@dataclass
class SkippedFiles:
    """What a scan skipped: files by extension, and folders that cannot be read, with the error."""

    extensions: Counter[str] = field(default_factory=Counter)
    unreadable_folders: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """Files of one crawl: its name, the roots that the files must be in, and where they are.

    `roots` is empty for trusted paths. `shops` says which shop each file is from. `listed` begins
    to read a manifest or feed, whose rows say more than a path.
    """

    crawl: str
    roots: tuple[str, ...]
    folder: str | None = None
    archive: str | None = None
    paths: Iterable[str] = ()
    shops: Shops | None = None
    listed: Callable[[SkippedFiles], Iterator[PendingRow]] | None = None

    def files(self, skipped: SkippedFiles) -> Iterator[FileState]:
        """Yield the files; a folder can be walked again, a list from stdin only once."""
        found = self._files(skipped)
        top = self.folder if self.archive is None else f"{self.archive}!"
        return found if self.shops is None else self.shops.files(found, top)

    def rows(self, skipped: SkippedFiles) -> Iterator[PendingRow]:
        """`files` as rows, with all that a manifest or feed says; also what was not downloaded."""
        if self.listed is None:
            return (PendingRow(f.path, f.size, f.mtime, shop=f.shop) for f in self.files(skipped))
        found = self.listed(skipped)
        return found if self.shops is None else self.shops.rows(found, self.folder)

    def _files(self, skipped: SkippedFiles) -> Iterator[FileState]:
        if self.listed is not None:
            return (FileState(row.path, row.size, row.mtime) for row in self.listed(skipped))
        if self.folder is not None and is_url(self.folder):
            from worker.sources import object_store

            return object_store.walk(self.folder)
        if self.folder is not None:
            return walk(self.folder, skipped)
        if self.archive is not None:
            return walk_archive(self.archive, skipped)
        return (file_state(path) for path in self.paths)

    @property
    def repeatable(self) -> bool:
        """Whether `files` can be called more than once."""
        whole = (self.folder, self.archive, self.listed)
        return any(part is not None for part in whole) or isinstance(self.paths, Sequence)


def sources(
    arguments: Sequence[str],
    *,
    crawl: str | None = None,
    roots: Sequence[str] = (),
    stdin: BinaryIO | None = None,
    nul: bool = False,
    encoding: str | None = None,
    shops: Shops | None = None,
) -> list[Source]:
    """The sources of arguments: folders, archives, files, URLs, and ``-`` for a list on stdin.

    Each folder or archive is its own root, and its name is the crawl unless `crawl` is given. Files
    belong to the crawl of their folder, stdin to the crawl ``stdin``; both are trusted unless
    `roots` are set.

    Raises:
        InputError: an argument does not exist, or a folder is empty or cannot be read.
    """
    found: list[Source] = []
    singles: dict[str, list[str]] = {}
    own_roots = tuple(str(Path(root).absolute()) for root in roots)
    for argument in arguments:
        if argument == "-":
            lines = stdin if stdin is not None else sys.stdin.buffer
            found.append(
                Source(
                    crawl or "stdin", own_roots, paths=read_paths(lines, nul=nul, encoding=encoding)
                )
            )
        elif is_url(argument):
            url = argument.rstrip("/")
            found.append(Source(crawl or url.rpartition("/")[2], (url,), folder=url))
        elif os.path.isdir(argument):  # noqa: PTH112 - a name of any bytes
            folder = os.path.abspath(argument)  # noqa: PTH100
            require_readable_folder(folder)
            found.append(_folder_source(crawl or crawl_name(folder), folder))
        elif is_archive(argument) and os.path.isfile(argument):  # noqa: PTH113
            archive = os.path.abspath(argument)  # noqa: PTH100
            name = crawl_name(archive).rpartition(".")[0]
            found.append(Source(crawl or name, (archive,), archive=archive))
        elif is_compressed_tar(argument):
            raise InputError(
                f"{to_text(argument)}: expected a zip, or a tar that is not compressed, since a "
                "compressed one must be unpacked to find a picture in it; uncompress it first"
            )
        elif os.path.lexists(argument):
            name = crawl_name(os.path.dirname(os.path.abspath(argument)))  # noqa: PTH100, PTH120
            singles.setdefault(crawl or name, []).append(argument)
        else:
            raise InputError(
                f"{to_text(argument)}: expected a folder or a file, found nothing there; "
                "check the path and that the disk with the pictures is mounted"
            )
    found += [Source(name, own_roots, paths=paths) for name, paths in singles.items()]
    return [replace(source, shops=shops) for source in found]


def _folder_source(crawl: str, folder: str) -> Source:
    """A folder; where img2dataset or an ImageFolder lists its files, with what that says."""
    from worker.sources import crawler_folders

    source = Source(crawl, (folder,), folder=folder)
    try:
        if crawler_folders.img2dataset_shards(folder):
            return replace(source, listed=lambda _: crawler_folders.img2dataset_rows(folder))
        if not crawler_folders.metadata_files(folder):
            return source
    except OSError:
        return source  # its walk says what is wrong

    def listed(skipped: SkippedFiles) -> Iterator[PendingRow]:
        return crawler_folders.image_folder_rows(folder, walk(folder, skipped))

    return replace(source, listed=listed)


def crawl_name(folder: str) -> str:
    """The default crawl of a folder's pictures: the name of the folder."""
    text = to_text(folder)
    return text.rstrip("/").rpartition("/")[2] or "root"


def require_readable_folder(folder: str) -> None:
    """Raise InputError unless the folder can be read and is not empty."""
    if is_url(folder):
        return  # the walk reports what is wrong
    try:
        with os.scandir(folder) as entries:
            if next(entries, None) is not None:
                return
    except OSError as error:
        raise InputError(
            f"{to_text(folder)}: expected a folder that can be read: {error.strerror}"
        ) from error
    raise InputError(
        f"{to_text(folder)}: the folder is empty; check the path and that the disk with the "
        "pictures is mounted"
    )


def root_is_available(root: str) -> bool:
    """Whether the folder exists and is not empty; otherwise no file in it counts as missing."""
    if is_url(root):
        from worker.sources import object_store

        return object_store.root_is_available(root)
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is not None
    except NotADirectoryError:
        return is_archive(root)
    except OSError:
        return False


def walk(folder: str, skipped: SkippedFiles) -> Iterator[FileState]:
    """Yield the picture files below the folder in the order of the disk; see `picture_files`.

    Raises:
        RootGone: the folder went away.
    """

    def count(ending: str) -> None:
        skipped.extensions[ending] += 1

    def unreadable(path: str, error: OSError) -> None:
        skipped.unreadable_folders.append(f"{to_text(path)}: {error.strerror}")

    paths = picture_files(folder, on_other=count, on_unreadable=unreadable)
    while True:
        try:
            path = next(paths, None)
        except OSError as error:
            raise RootGone(
                f"{to_text(folder)} went away: {error.strerror}; try again later"
            ) from error
        if path is None:
            return
        yield _state(path)


def walk_archive(archive: str, skipped: SkippedFiles) -> Iterator[FileState]:
    """Yield the members of an archive that are pictures by their names, by the rules of `walk`.

    Members that lead out of the archive are among them: they get a row with the reason.

    Raises:
        InputError: it cannot be read, or is beyond a limit.
    """
    found = safe_read.list_members(archive)
    if isinstance(found, safe_read.Contents):
        raise InputError(
            f"{to_text(archive)}: expected a zip or tar archive: {found.detail}; unpack it, and "
            "label the folder"
        )
    for member in found:
        parts = [part for part in member.name.split("/") if part != ".."]
        if any(is_hidden(part) for part in parts if part != ".") or "__MACOSX" in parts:
            continue
        if (ending := other_ending(member.name)) is not None:
            skipped.extensions[ending] += 1
            continue
        yield FileState(member_to_text(archive, member.name), member.size, member.mtime)


def file_state(path: str) -> FileState:
    """The state of one file; a URL or an absent file has neither size nor time."""
    return FileState(path) if is_url(path) else _state(given_path(path))


def _state(os_path: str) -> FileState:
    try:
        status = os.stat(os_path)  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return FileState(to_text(os_path))
    return FileState(to_text(os_path), status.st_size, status.st_mtime)


def read_paths(
    stream: BinaryIO, *, nul: bool = False, encoding: str | None = None
) -> Iterator[str]:
    """Yield paths from a byte stream, one per line or separated by NUL; skip empty ones.

    Names are bytes and taken as they are, unless a byte order mark or `encoding` says what the list
    is written in.

    Raises:
        InputError: the list is not in that encoding, or a line is too long.
    """
    if nul:
        yield from (os.fsdecode(raw) for raw in _split_nul(stream) if raw)
        return
    first = stream.readline(MAX_LINE + 1)
    if (encoding_by_mark(first) or encoding) is None:
        raw = first
        while raw:
            if len(raw) > MAX_LINE:
                raise InputError(f"the list of paths has a line of more than {MAX_LINE:,} bytes")
            if path := raw.rstrip(b"\r\n"):
                yield os.fsdecode(path)
            raw = stream.readline(MAX_LINE + 1)
        return
    try:
        for line in text_lines(stream, "the list of paths", encoding, first):
            if path_text := line.rstrip("\r\n"):
                yield os.fsdecode(path_text.encode())
    except TabularError as error:
        raise InputError(str(error)) from error


def _split_nul(stream: BinaryIO, size: int = 1 << 16) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(size):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
        if len(rest) > MAX_LINE:
            raise InputError(f"the list of paths has a path of more than {MAX_LINE:,} bytes")
    if rest:
        yield rest
