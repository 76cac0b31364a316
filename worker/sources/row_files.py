"""Opens the files of catalogue rows. Anybody may have imported a row: its path is not trusted.

A file is opened below the setting `roots` only, as by a worker; without roots, anywhere. An address
(``s3://…``, ``ftp://…``) is opened only below a root that is an address: otherwise a row could make
this machine connect to any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.sources.loading import Load, file_loader
from worker.sources.paths import is_url, to_os_path

if TYPE_CHECKING:
    from cascade.pictures.decode import Loaded
    from cascade.pictures.preprocessing import Preprocessing
    from cascade.pictures.safe_read import Contents


def row_loader(preprocessing: Preprocessing) -> Load:
    """Like `worker.sources.loading.file_loader`, for paths of rows."""
    from cascade.pictures.decode import Loaded

    load_any = file_loader(preprocessing)

    def load(path: str, roots: Sequence[str]) -> Loaded:
        if is_url(path) and not any(is_url(root) for root in roots):
            detail = "an address outside the setting roots"
            return Loaded(path, None, None, None, None, "outside_root", detail)
        return load_any(path, roots)

    return load


def read_row(path: str, max_bytes: int, roots: Sequence[str]) -> Contents:
    """The bytes at a row's path, opened as by `row_loader`; never raises because of the path."""
    from cascade.pictures import safe_read
    from worker.sources import object_store

    try:
        os_path = to_os_path(path)
    except ValueError as error:
        return safe_read.Contents(reason="unreadable", detail=str(error))
    if not is_url(os_path):
        return safe_read.read(os_path, max_bytes, roots)
    if not any(is_url(root) for root in roots):
        detail = "an address outside the setting roots"
        return safe_read.Contents(reason="outside_root", detail=detail)
    return object_store.read(os_path, max_bytes, roots)


class RowFiles:
    """The files of rows, for exports with pictures: see `db.exports.pictures.PictureFiles`."""

    def __init__(self, roots: Sequence[str], max_bytes: int) -> None:
        self._roots, self._max_bytes = roots, max_bytes

    def locate(self, path: str) -> str | None:
        """The file of a row's path; None if it is missing, outside the roots or an address."""
        from cascade.pictures import safe_read

        try:
            os_path = to_os_path(path)
        except ValueError:
            return None
        allowed = not is_url(os_path) and safe_read.is_allowed(os_path, self._roots)
        return os_path if allowed else None

    def read(self, path: str) -> bytes | None:
        """The bytes at a row's path; None if they cannot be read, or are not below a root."""
        return read_row(path, self._max_bytes, self._roots).data
