"""The model store: by folder and by URL; only complete bundles of the requested version."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pytest

from tests.commands.running import run
from worker.errors import ModelUnusable
from worker.model_loader import ModelCache, open_model
from worker.model_store import fetch, publish


@pytest.fixture(params=["folder", "url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of either kind; the URL is one of a file system in memory."""
    return str(tmp_path / "store") if request.param == "folder" else f"memory://{uuid4().hex}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_published_bundle_is_used(small_bundle: Path, store: str) -> None:
    version = open_model(str(small_bundle)).version
    assert publish(store, small_bundle) == (f"{store}/{version}", True)
    assert publish(store, small_bundle) == (f"{store}/{version}", False)
    models = ModelCache("constant:glasses/optical", store)
    model = models.get(version)
    assert (model.version, models.get(version)) == (version, model)
    assert len(model.classify(np.zeros((2, 120, 90, 3), np.uint8))) == 2


def test_an_absent_or_another_bundle_is_refused(
    small_bundle: Path, store: str, cache: Path
) -> None:
    version = open_model(str(small_bundle)).version
    models = ModelCache("constant:glasses/optical", store)
    for wanted in ("0123456789abcdef", "../models", f"../{version}"):
        with pytest.raises(ModelUnusable):
            models.get(wanted)
    place, _ = publish(store, small_bundle)
    system, path = fsspec.core.url_to_fs(place)
    system.mv(path, path.replace(version, "0123456789abcdef"), recursive=True)
    with pytest.raises(ModelUnusable, match=f"expected model 0123456789abcdef, found {version}"):
        models.get("0123456789abcdef")
    assert not cache.exists() or not list(cache.rglob("manifest.json"))


def test_a_changed_file_is_refused(small_bundle: Path, store: str, cache: Path) -> None:
    place, _ = publish(store, small_bundle)
    system, path = fsspec.core.url_to_fs(place)
    with system.open(f"{path}/calibration.json", "ab") as file:
        file.write(b" ")
    with pytest.raises(ModelUnusable, match="calibration.json: its hash is"):
        ModelCache("constant:glasses/optical", store).get(place.rpartition("/")[2])
    assert not cache.exists() or not list(cache.rglob("manifest.json"))


def test_a_downloaded_bundle_is_verified_again(small_bundle: Path) -> None:
    store = f"memory://{uuid4().hex}"
    version = publish(store, small_bundle)[0].rpartition("/")[2]
    brought = fetch(store, version)
    (brought / "taxonomy.json").write_text("{}")
    assert (fetch(store, version) / "taxonomy.json").read_text() != "{}"
    fsspec.filesystem("memory").rm(store.removeprefix("memory:/"), recursive=True)
    assert fetch(store, version) == brought  # without asking the store


def test_an_incomplete_bundle_counts_as_absent(small_bundle: Path, store: str) -> None:
    """Publishing was killed before the manifest: it counts as absent, and is done again."""
    place, _ = publish(store, small_bundle)
    system, path = fsspec.core.url_to_fs(place)
    system.rm(f"{path}/manifest.json")
    with pytest.raises(ModelUnusable):
        fetch(store, place.rpartition("/")[2])
    assert publish(store, small_bundle) == (place, True)


def test_only_a_complete_bundle_is_published(small_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(small_bundle, tmp_path / "changed")
    (tmp_path / "changed" / "taxonomy.json").write_text("{}")
    said = run(
        *("models", "publish", str(tmp_path / "changed"), "--store", str(tmp_path / "store")),
        exit_code=5,
    )
    assert "taxonomy.json: its hash is" in said.stderr
    assert not (tmp_path / "store").exists()
    done = run("models", "publish", str(small_bundle), "--store", str(tmp_path / "store"))
    assert done.stdout.endswith(": published\n")
    assert "publish where?" in run("models", "publish", str(small_bundle), exit_code=2).stderr


def test_a_token_in_the_stores_url_is_not_shown(small_bundle: Path) -> None:
    store = f"memory://secret-token@{uuid4().hex}"
    with pytest.raises(ModelUnusable, match=r"memory://\*\*\*@.*cannot be read") as caught:
        fetch(store, open_model(str(small_bundle)).version)
    assert "secret-token" not in str(caught.value)
