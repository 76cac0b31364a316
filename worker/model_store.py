"""The model store: bundles in folders named by their versions, on a disk or in an object store.

A worker that gets a message for another model than its own takes that model from here. What comes
from an object store (any URL that fsspec knows) is kept in the user's cache folder. Whatever the
way, a bundle is used only if each file has the hash that its manifest names, and the manifest's
hashes make the version that was asked for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.errors import ModelUnusable
from worker.sources.paths import is_url

if TYPE_CHECKING:
    from cascade.bundle import Bundle

MANIFEST = "manifest.json"  # written last: a bundle without one is not there yet


def fetch(store: str, version: str, cache: Path | None = None) -> Path:
    """The folder of the bundle of this version; brought here where the store is a URL.

    Args:
        store: a folder, or a URL that fsspec knows.
        version: as a message names it.
        cache: where what was brought is kept; the user's cache folder.

    Raises:
        ModelUnusable: it is not there, does not come whole, or is another than was asked for.
    """
    if not version.isalnum():  # a hash; anything else could lead out of the store
        raise ModelUnusable(f"expected a model's version, received {version!r}")
    if not is_url(store):
        folder = Path(store) / version
        _opened(folder, version, verify=False)  # verified when it is loaded
        return folder
    target = (cache or _cache()) / version
    if not (target / MANIFEST).is_file():
        _bring(store, version, target)
    try:
        _opened(target, version, verify=True)
    except ModelUnusable:  # damaged since: bring it again
        shutil.rmtree(target, ignore_errors=True)
        _bring(store, version, target)
    return target


def publish(store: str, folder: Path) -> tuple[str, bool]:
    """Put a bundle into the store; where it lies then, and whether it was new there.

    Raises:
        ModelUnusable: the bundle's files are not those of its manifest, or cannot be written.
    """
    bundle = _opened(folder, None, verify=True)
    place = f"{store.rstrip('/')}/{bundle.version}"
    system, path = _file_system(place)
    part = f"{MANIFEST}.{os.getpid()}.part"  # nobody must read half a manifest
    try:
        if system.exists(f"{path}/{MANIFEST}"):
            return place, False
        for name in bundle.manifest["files"]:
            system.makedirs(f"{path}/{name}".rpartition("/")[0], exist_ok=True)
            system.put_file(str(folder / name), f"{path}/{name}")
        system.put_file(str(folder / MANIFEST), f"{path}/{part}")
        system.mv(f"{path}/{part}", f"{path}/{MANIFEST}")
    except OSError as error:
        raise ModelUnusable(f"{place} cannot be written: {error}") from error
    return place, True


def _bring(store: str, version: str, target: Path) -> None:
    """Copy the bundle beside `target`, look at every hash, and only then give it its name."""
    system, path = _file_system(f"{store.rstrip('/')}/{version}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{version}-") as temporary:
        part = Path(temporary) / version
        part.mkdir()
        try:
            system.get_file(f"{path}/{MANIFEST}", str(part / MANIFEST))
            names = _opened(part, version, verify=False).manifest["files"]
            for name in names:
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                system.get_file(f"{path}/{name}", str(part / name))
        except OSError as error:
            raise ModelUnusable(
                f"{store}/{version} cannot be read: {error}; put it there: "
                "fashion-cascade models publish BUNDLE"
            ) from error
        _opened(part, version, verify=True)
        try:
            part.rename(target)
        except OSError:  # another process was faster
            _opened(target, version, verify=True)


def _opened(folder: Path, version: str | None, *, verify: bool) -> Bundle:
    from cascade.bundle import Bundle
    from cascade.errors import CascadeError

    try:
        bundle = Bundle.open(folder, verify=verify)
    except CascadeError as error:
        raise ModelUnusable(str(error)) from error
    if version not in (None, bundle.version):
        raise ModelUnusable(f"{folder}: expected model {version}, found {bundle.version}")
    return bundle


def _file_system(place: str) -> tuple[Any, str]:
    from worker.errors import InputError
    from worker.sources.object_store import file_system

    try:
        return file_system(place)
    except InputError as error:
        raise ModelUnusable(str(error)) from error


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("fashion-cascade") / "models"
