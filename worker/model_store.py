"""The model store: bundles in folders named by version, on a disk or in an object store.

A worker fetches a model from here if a message asks for another model than its own. A bundle from
an object store (any fsspec URL) is kept in the user's cache folder. A bundle is used only if each
file has the hash in the manifest, and the hashes give the requested version.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rendering.secrets import mask_message, mask_url
from worker.configuration.user_folders import user_cache_folder
from worker.errors import ModelUnusable
from worker.sources.paths import is_url

if TYPE_CHECKING:
    from cascade.bundle import Bundle

MANIFEST = "manifest.json"  # written last: without it the bundle is incomplete


def fetch(store: str, version: str, cache: Path | None = None) -> Path:
    """The folder of the bundle of this version; downloaded if the store is a URL.

    Args:
        store: a folder or an fsspec URL.
        version: the version in the message.
        cache: folder for downloaded bundles; by default the user's cache folder.

    Raises:
        ModelUnusable: the bundle is absent, incomplete, or has another version.
    """
    if not version.isalnum():  # it is a hash; anything else could lead out of the store
        raise ModelUnusable(f"expected a model's version, received {version!r}")
    if not is_url(store):
        folder = Path(store) / version
        _open_bundle(folder, version, verify=False)  # verified when it is loaded
        return folder
    target = (cache or _cache_folder()) / version
    if not (target / MANIFEST).is_file():
        _download(store, version, target)
    try:
        _open_bundle(target, version, verify=True)
    except ModelUnusable:  # damaged since: download it again
        shutil.rmtree(target, ignore_errors=True)
        _download(store, version, target)
    return target


def publish(store: str, folder: Path) -> tuple[str, bool]:
    """Copy a bundle into the store; returns its place, and whether it was new.

    Raises:
        ModelUnusable: a file does not match the manifest, or the store cannot be written.
    """
    bundle = _open_bundle(folder, None, verify=True)
    place = f"{store.rstrip('/')}/{bundle.version}"
    system, path = _file_system(place)
    part = f"{MANIFEST}.{os.getpid()}.part"  # nobody may read an incomplete manifest
    try:
        if system.exists(f"{path}/{MANIFEST}"):
            return place, False
        for name in bundle.manifest["files"]:
            system.makedirs(f"{path}/{name}".rpartition("/")[0], exist_ok=True)
            system.put_file(str(folder / name), f"{path}/{name}")
        system.put_file(str(folder / MANIFEST), f"{path}/{part}")
        system.mv(f"{path}/{part}", f"{path}/{MANIFEST}")
    except OSError as error:
        raise ModelUnusable(
            f"{mask_url(place)} cannot be written: {mask_message(str(error), place)}"
        ) from error
    return place, True


def _download(store: str, version: str, target: Path) -> None:
    """Copy the bundle beside `target`, verify every hash, then rename it."""
    system, path = _file_system(f"{store.rstrip('/')}/{version}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{version}-") as temporary:
        part = Path(temporary) / version
        part.mkdir()
        try:
            system.get_file(f"{path}/{MANIFEST}", str(part / MANIFEST))
            names = _open_bundle(part, version, verify=False).manifest["files"]
            for name in names:
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                system.get_file(f"{path}/{name}", str(part / name))
        except OSError as error:
            raise ModelUnusable(
                f"{mask_url(store)}/{version} cannot be read: "
                f"{mask_message(str(error), store)}; publish it: "
                "fashion-cascade models publish BUNDLE"
            ) from error
        _open_bundle(part, version, verify=True)
        try:
            part.rename(target)
        except OSError:  # another process was faster
            _open_bundle(target, version, verify=True)


def _open_bundle(folder: Path, version: str | None, *, verify: bool) -> Bundle:
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


def _cache_folder() -> Path:
    return user_cache_folder() / "models"
