"""Pictures behind URLs, on fsspec's own file system in memory."""

from __future__ import annotations

from collections.abc import Iterator

import fsspec
import pytest

from cascade.pictures.decode import Preprocessing
from tests.pictures import encoded
from tests.worker.crawls import picture
from worker.errors import InputError, RootGone
from worker.sources.object_store import load, root_is_available, walk
from worker.sources.scan import SkippedFiles, sources

ROOT = "memory://bucket/spring"
PREPROCESSING = Preprocessing()


@pytest.fixture
def store() -> Iterator[None]:
    system = fsspec.filesystem("memory")
    png = encoded(picture(1), "PNG")
    for name, data in {"a.png": png, "deep/b.png": png, "c.jpg": b"<html>", "x.txt": b""}.items():
        system.pipe(f"/bucket/spring/{name}", data)
    yield
    system.rm("/bucket", recursive=True)


@pytest.mark.usefixtures("store")
def test_a_url_is_walked_like_a_folder() -> None:
    (source,) = sources([f"{ROOT}/"])
    assert (source.crawl, source.roots) == ("spring", (ROOT,))
    found = {file.path: file.size for file in source.files(SkippedFiles())}
    assert {path.rpartition("spring/")[2] for path in found} == {"a.png", "c.jpg", "deep/b.png"}
    assert all(path.startswith("memory://") for path in found)
    for path in found:
        assert load(path, PREPROCESSING, (ROOT,)).reason != "outside_root"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"{ROOT}/a.png", None),
        (f"{ROOT}/c.jpg", "not_an_image"),
        (f"{ROOT}/absent.png", "missing"),
        ("memory://elsewhere/a.png", "outside_root"),
        (f"{ROOT}/../spring/a.png", "outside_root"),
        (f"{ROOT}/%2e%2E/spring/a.png", "outside_root"),
        (f"{ROOT}/%252e./spring/a.png", "outside_root"),
        (f"{ROOT}/..\\spring/a.png", "outside_root"),
        (f"{ROOT}/a.png::memory://elsewhere/a.png", "outside_root"),
        (f"{ROOT}x/a.png", "outside_root"),
    ],
)
def test_each_file_is_loaded_or_rejected(url: str, reason: str | None) -> None:
    loaded = load(url, PREPROCESSING, (ROOT,))
    assert (loaded.reason, loaded.pixels is None) == (reason, reason is not None)


def test_the_secrets_of_a_root_are_not_kept_in_the_row() -> None:
    loaded = load("memory://elsewhere/a.png", PREPROCESSING, ("memory://key:secret@bucket",))
    assert loaded.detail == "not below memory://***@bucket"


@pytest.mark.usefixtures("store")
def test_a_large_file_is_not_read() -> None:
    small = Preprocessing(max_bytes=20)
    assert load(f"{ROOT}/a.png", small, (ROOT,)).reason == "too_large"


@pytest.mark.usefixtures("store")
def test_an_absent_root_raises() -> None:
    assert root_is_available(ROOT)
    assert not root_is_available("memory://bucket/absent")
    with pytest.raises(RootGone):
        list(walk("memory://bucket/absent"))


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(InputError, match="Protocol not known"):
        list(walk("nosuch://bucket"))


@pytest.mark.parametrize("url", ["https://shop.example/a", "HTTP://u:secret@h/", "zip::http://h/"])
def test_addresses_of_the_web_are_not_fetched(url: str) -> None:
    with pytest.raises(InputError, match="use img2dataset or Scrapy") as caught:
        list(walk(url))
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="use img2dataset or Scrapy"):
        root_is_available(url)
    loaded = load(url, Preprocessing(), ())
    assert loaded.reason == "unreadable"
    assert "use img2dataset or Scrapy" in str(loaded.detail)


@pytest.mark.parametrize("url", ["memory://secret-token@nowhere/x", "nothing://secret-token@b/x"])
def test_a_token_in_the_url_is_not_shown(url: str) -> None:
    with pytest.raises((RootGone, InputError)) as caught:
        list(walk(url))
    assert "://***@" in str(caught.value)
    assert "secret-token" not in str(caught.value)
