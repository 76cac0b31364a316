"""Pictures inside zip and tar archives: ``crawl.zip!/shoes/1.jpg``. Nothing is unpacked to disk.

An archive may be hostile. Its members are listed by the standard library within limits, once per
archive and process. A member is read into memory, at most as many bytes as a picture may have.
"""

from __future__ import annotations

import calendar
import lzma
import os
import re
import stat
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from typing import NamedTuple

SEPARATOR = "!/"  # between the path of the archive and the name of the member, as in Java's URLs
MAX_MEMBERS = 1_000_000
MAX_RATIO = 200  # of what all members say to unpack to, to the size of the archive
MAX_TIME = float(1 << 40)  # a later one is nonsense
MAX_SIZE = (1 << 63) - 1  # what a catalogue can hold
MAX_INDEX_BYTES = 256 << 20  # what is read at once: the directory of a zip, a long header of a tar
ARCHIVES_KEPT = 4  # the lists of members, in each process
_ARCHIVE = re.compile(r"(.+?\.(?:zip|tar))!/(.*)", re.DOTALL | re.IGNORECASE)
_COMPRESSED_TAR = re.compile(r"\.(?:tgz|tar\.(?:gz|bz2|xz|zst))$", re.IGNORECASE)
_DAMAGED = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, KeyError, IndexError),
)


class BadArchive(Exception):
    """An archive or a member that is not read: the reason code, and the words."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive: its name there, size in bytes and time in seconds since 1970."""

    name: str
    size: int
    mtime: float


def split(path: str) -> tuple[str, str] | None:
    """The archive and the member of a path, or None if it names no member."""
    if SEPARATOR not in path:
        return None
    found = _ARCHIVE.match(path)
    return (found[1], found[2]) if found else None


def is_archive(path: str) -> bool:
    """Whether a name is that of an archive that is read."""
    return path.lower().endswith((".zip", ".tar"))


def is_compressed_tar(path: str) -> bool:
    """Whether a name is that of a tar that only unpacks from its beginning."""
    return _COMPRESSED_TAR.search(path) is not None


def members(descriptor: int) -> Iterator[Member]:
    """The files of an open archive; links and devices too, which `read` rejects.

    Raises:
        BadArchive: it cannot be read, or is beyond a limit.
    """
    entries = _index(descriptor).entries  # while the descriptor is open
    return (Member(name, entry.size, entry.mtime) for name, entry in entries.items())


def read(descriptor: int, name: str, max_bytes: int) -> tuple[Member, bytes]:
    """The bytes of one member of an open archive.

    Raises:
        BadArchive: the reason why there are none: ``missing``, ``outside_root`` (an absolute name,
            ``..``, a link or a device), ``too_large`` or ``unreadable``.
    """
    if _leads_out(name):
        raise BadArchive("outside_root", f"the member {name!r} leads out of its archive")
    index = _index(descriptor)
    entry = index.entries.get(name)
    if entry is None:
        raise BadArchive("missing", f"no member {name!r} in the archive")
    if not entry.is_regular:
        raise BadArchive("outside_root", f"the member {name!r} is a link or a device")
    if entry.size > max_bytes:
        raise BadArchive("too_large", f"more than {max_bytes} bytes")
    try:
        data = index.read(entry, max_bytes)
    except _DAMAGED as error:
        raise BadArchive("unreadable", f"damaged or encrypted: {_words(error)}") from error
    return Member(name, entry.size, entry.mtime), data


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or "\0" in name


class _Entry(NamedTuple):
    size: int
    mtime: float
    is_regular: bool
    source: zipfile.ZipInfo | int  # of a tar: where its bytes begin


class _Bounded(FileIO):
    """A file of which no more is read at once than an index may have."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        if size > MAX_INDEX_BYTES:
            raise BadArchive("too_large", f"an index of more than {MAX_INDEX_BYTES} bytes")
        return super().read(size) or b""

    def __del__(self) -> None:
        """Close: nobody else can tell when the last thread is done with a list that was dropped."""
        self.close()


class _Index:
    """The members of one archive by name. Threads may share it."""

    def __init__(self, file: _Bounded) -> None:
        self.entries: dict[str, _Entry] = {}
        self._file = file
        self._zip: zipfile.ZipFile | None = None
        file.seek(0)
        # a tar may end with a zip, so the mark at its beginning counts
        is_tar = file.read(262)[257:] == b"ustar"
        if not is_tar and zipfile.is_zipfile(file):
            self._zip = zipfile.ZipFile(file)
            self._list_zip(self._zip)
        else:
            self._list_tar(file)

    def _list_zip(self, archive: zipfile.ZipFile) -> None:
        found = archive.infolist()
        _check_number(len(found))
        size = os.fstat(self._file.fileno()).st_size
        if sum(info.file_size for info in found) > MAX_RATIO * size:
            raise BadArchive("too_large", f"it unpacks to more than {MAX_RATIO} times its size")
        for info in found:
            if not info.is_dir():
                mode = stat.S_IFMT(info.external_attr >> 16)  # 0: not made on Unix
                regular = mode in (0, stat.S_IFREG)
                size = min(info.file_size, MAX_SIZE)
                self.entries[info.filename] = _Entry(size, _zip_time(info), regular, info)

    def _list_tar(self, file: _Bounded) -> None:
        file.seek(0)
        number = 0
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined] # it would keep each one
                number += 1
                _check_number(number)
                if not info.isdir():
                    regular = info.isreg() and not info.issparse() and info.size >= 0
                    mtime = float(info.mtime) if 0 <= info.mtime < MAX_TIME else 0.0
                    size = min(max(info.size, 0), MAX_SIZE)
                    self.entries[info.name] = _Entry(size, mtime, regular, info.offset_data)

    def read(self, entry: _Entry, max_bytes: int) -> bytes:
        """The bytes of an entry whose size is within `max_bytes`."""
        if isinstance(entry.source, int):
            data = os.pread(self._file.fileno(), entry.size, entry.source)
        else:
            assert self._zip is not None
            with self._zip.open(entry.source) as stream:  # locks the file for each of its reads
                data = stream.read(max_bytes + 1)
        if len(data) != entry.size:
            raise EOFError(f"expected {entry.size} bytes, received {len(data)}")
        return data


def _check_number(number: int) -> None:
    if number > MAX_MEMBERS:
        raise BadArchive("too_large", f"more than {MAX_MEMBERS} members")


def _zip_time(info: zipfile.ZipInfo) -> float:
    """The time in the archive, which has no zone, taken as UTC; 0 if it is none."""
    try:
        return float(calendar.timegm((*info.date_time, 0, 0, 0)))
    except (ValueError, OverflowError):
        return 0.0


# a forked process lists anew: it would share the position in the file with its parent
_kept: OrderedDict[tuple[int, ...], _Index] = OrderedDict()
_lock = threading.Lock()


def _index(descriptor: int) -> _Index:
    """The list of members, kept as long as the archive is the same file."""
    status = os.fstat(descriptor)
    key = (os.getpid(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    with _lock:  # listed once, also when many threads ask
        if key not in _kept:
            try:
                _kept[key] = _Index(_Bounded(os.dup(descriptor), "rb"))
            except _DAMAGED as error:
                words = f"no archive that can be read: {_words(error)}"
                raise BadArchive("unreadable", words) from error
            while len(_kept) > ARCHIVES_KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
