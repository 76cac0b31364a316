"""Which shop a picture is from, by name, folder or pattern."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.errors import InputError
from worker.sources.paths import to_text
from worker.sources.scan import SkippedFiles, sources
from worker.sources.shops import Shops


def shop_of(source: str, path: str, folder: str | None = None) -> str | None:
    shops = Shops.parse(None, source)
    assert shops is not None
    return shops.of(path, folder)


@pytest.mark.parametrize(
    ("path", "folder", "shop"),
    [
        ("/data/crawl/asos/1.jpg", "/data/crawl", "asos"),
        ("/data/crawl/asos/women/shoes/1.jpg", "/data/crawl", "asos"),
        ("/data/crawl/asos/1.jpg", "/", "data"),
        ("/data/crawl/1.jpg", "/data/crawl", None),  # right in the folder
        ("/data/asos/1.jpg", None, "asos"),  # of a list: its own folder
        ("/1.jpg", None, None),
        ("s3://bucket/crawl/asos/1.jpg", "s3://bucket/crawl", "asos"),
        ("s3://bucket/asos/1.jpg", None, "asos"),
        ("file:///data/caf%E9/1.jpg", "/data", "caf\\xe9"),
        ("/data/größe/1.jpg", "/data", "größe"),
    ],
)
def test_the_shop_is_a_folder(path: str, folder: str | None, shop: str | None) -> None:
    assert shop_of("folder", path, folder) == shop


@pytest.mark.parametrize(
    ("pattern", "shop"),
    [
        ("/shops/([^/]+)/", "asos"),
        ("a.os", "asos"),  # no group: all that it matches
        ("/none/([^/]+)/", None),
        ("/shops/(x)?", None),  # a group that took no part
        ("/shops/()", None),
    ],
)
def test_the_shop_is_a_part_of_the_path(pattern: str, shop: str | None) -> None:
    assert shop_of(pattern, "/shops/asos/1.jpg", "/shops") == shop


def test_what_is_no_shop_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected 'folder' or a regular expression.*\'\(\'"):
        Shops.parse(None, "(")
    with pytest.raises(InputError, match="received both"):
        Shops.parse("a", "folder")
    for name in ("", "  ", "a\0"):
        with pytest.raises(InputError, match="--shop: expected a name"):
            Shops.parse(name, None)
    assert Shops.parse(None, None) is None


def test_a_walk_gives_each_file_its_shop(tmp_path: Path) -> None:
    for name in ("asos/1.jpg", "zara/deep/2.jpg", "3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    latin = tmp_path / os.fsdecode(b"caf\xe9")
    latin.mkdir()
    (latin / "4.jpg").touch()
    (source,) = sources([str(tmp_path)], shops=Shops.parse(None, "folder"))
    found = {file.path: file.shop for file in source.files(SkippedFiles())}
    assert found == {
        str(tmp_path / "asos/1.jpg"): "asos",
        str(tmp_path / "zara/deep/2.jpg"): "zara",
        str(tmp_path / "3.jpg"): None,
        to_text(str(latin / "4.jpg")): "caf\\xe9",
    }
    (named,) = sources([str(tmp_path)], shops=Shops.parse("one", None))
    assert {file.shop for file in named.files(SkippedFiles())} == {"one"}
