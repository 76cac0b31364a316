"""Opens one picture file, on a disk or in an object store, and decodes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from worker.sources.paths import is_url

if TYPE_CHECKING:
    from cascade.pictures.decode import Loaded
    from cascade.pictures.preprocessing import Preprocessing

# (path of the operating system, roots) -> the picture, or why it is rejected; raises for no file
Load = Callable[[str, Sequence[str]], "Loaded"]


def file_loader(preprocessing: Preprocessing) -> Load:
    """A function that opens one file, on a disk or in an object store, and decodes it."""
    from cascade.pictures import decode
    from worker.sources import object_store

    def load(path: str, roots: Sequence[str]) -> Loaded:
        if is_url(path):
            return object_store.load(path, preprocessing, roots)
        return decode.load(path, preprocessing, roots)

    return load
