"""Which files are taken for pictures, by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cascade.pictures.files import is_hidden, other_ending, picture_files


@pytest.mark.parametrize("name", ["a.jpg", "a.jfif", "a", "a.jpg?w=200", "a.JPG", "a.b.tmp", "a."])
def test_other_endings_are_not_trusted(name: str) -> None:
    assert other_ending(name) is None


@pytest.mark.parametrize(("name", "ending"), [("notes.TXT", ".txt"), ("catalogue.db", ".db")])
def test_endings_of_something_else(name: str, ending: str) -> None:
    assert other_ending(name) == ending


def test_hidden_and_links_to_folders_are_left_out(tmp_path: Path) -> None:
    for name in (".hidden/a.jpg", "shoes/.b.jpg", "shoes/c", "shoes/.d/deep/e.jpg", "notes.txt"):
        (tmp_path / "crawl" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "crawl" / name).write_bytes(b"x")
    (tmp_path / "crawl" / "again").symlink_to(tmp_path / "crawl" / "shoes")
    (tmp_path / "crawl" / "linked.jpg").symlink_to(tmp_path / "crawl" / "shoes" / "c")
    others: list[str] = []
    found = picture_files(str(tmp_path / "crawl"), on_other=others.append)
    assert sorted(os.path.relpath(path, tmp_path) for path in found) == [
        "crawl/linked.jpg",
        "crawl/shoes/c",
    ]
    assert others == [".txt"]


def test_the_given_folder_may_be_hidden(tmp_path: Path) -> None:
    folder = tmp_path / ".cache"
    folder.mkdir()
    (folder / "a.jpg").touch()
    assert is_hidden(folder.name)
    assert list(picture_files(str(folder))) == [str(folder / "a.jpg")]
