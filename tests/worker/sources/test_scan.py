"""What a walk takes, what it passes over, and that it ends."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest

from db.records import FileState
from worker.errors import InputError, RootGone
from worker.sources.scan import (
    SkippedFiles,
    Source,
    file_state,
    read_paths,
    root_is_available,
    sources,
    walk,
)


def files_of(source: Source) -> list[str]:
    return sorted(file.path for file in source.files(SkippedFiles()))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for name in (
        "a.jpg",
        "deep/er/b.JPG",
        "no_extension",
        "page.html",
        ".hidden.jpg",
        ".git/c.jpg",
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * len(name))
    (folder / "notes.TXT").touch()
    (folder / "catalogue.db").touch()
    return folder


def test_a_walk_takes_what_may_be_a_picture_and_counts_the_rest(shop: Path) -> None:
    found = SkippedFiles()
    paths = {file.path: file for file in walk(str(shop), found)}
    names = {str(Path(path).relative_to(shop)) for path in paths}
    assert names == {"a.jpg", "deep/er/b.JPG", "no_extension", "page.html"}
    assert found.extensions == {".txt": 1, ".db": 1}
    status = (shop / "a.jpg").stat()
    assert paths[str(shop / "a.jpg")] == FileState(str(shop / "a.jpg"), 5, status.st_mtime)


def test_links_to_files_are_taken_and_links_to_folders_not_followed(shop: Path) -> None:
    (shop / "link.jpg").symlink_to(shop / "a.jpg")
    (shop / "broken.jpg").symlink_to(shop / "nowhere.jpg")
    (shop / "round").symlink_to(shop)
    (shop / "loop").symlink_to(shop / "loop")
    paths = {Path(file.path).name: file for file in walk(str(shop), SkippedFiles())}
    assert {"link.jpg", "broken.jpg", "loop"} < set(paths)
    assert "round" not in paths
    assert paths["link.jpg"].size == 5
    assert paths["broken.jpg"].size is None


def test_a_fifo_is_named_without_being_opened(shop: Path) -> None:
    os.mkfifo(shop / "pipe.jpg")
    assert str(shop / "pipe.jpg") in {file.path for file in walk(str(shop), SkippedFiles())}


def test_file_names_may_have_any_bytes(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff\n'\".jpg"
    with open(raw, "wb"):  # noqa: PTH123 - a Path holds no bytes
        pass
    (file,) = walk(str(tmp_path), SkippedFiles())
    assert file.path == f"file://{tmp_path}/%FF%0A%27%22.jpg"
    assert file.size == 0
    assert file_state(file.path) == file


def test_each_folder_is_its_own_root_and_crawl(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other shop"
    other.mkdir()
    (other / "x.jpg").touch()
    one, two = sources([str(shop), f"{other}/"])
    assert (one.crawl, one.roots) == ("shop", (str(shop),))
    assert (two.crawl, two.roots) == ("other shop", (str(other),))
    assert [source.crawl for source in sources([str(shop), str(other)], crawl="x")] == ["x", "x"]


def test_single_files_belong_to_the_crawl_of_their_folder(shop: Path) -> None:
    (source,) = sources([str(shop / "a.jpg"), str(shop / "notes.TXT")], roots=["/pictures"])
    assert (source.crawl, source.roots) == ("shop", ("/pictures",))
    assert files_of(source) == [str(shop / "a.jpg"), str(shop / "notes.TXT")]


def test_paths_on_stdin_by_line_and_by_nul(shop: Path) -> None:
    lines = f"{shop}/a.jpg\r\n\n{shop}/gone.jpg".encode()
    (source,) = sources(["-"], stdin=io.BytesIO(lines))
    assert (source.crawl, source.roots, source.repeatable) == ("stdin", (), False)
    assert [(file.path, file.size) for file in source.files(SkippedFiles())] == [
        (f"{shop}/a.jpg", 5),
        (f"{shop}/gone.jpg", None),
    ]
    raw = b"/a\nb.jpg\0/c.jpg"
    assert list(read_paths(io.BytesIO(raw), nul=True)) == ["/a\nb.jpg", "/c.jpg"]
    long = b"\0".join(b"/%06d.jpg" % number for number in range(20_000))  # several reads
    assert len(list(read_paths(io.BytesIO(long), nul=True))) == 20_000


def test_an_absent_or_empty_folder_is_an_error_before_any_work(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        sources([str(shop), str(tmp_path / "empty")])
    with pytest.raises(InputError, match="nothing there"):
        sources([str(tmp_path / "absent")])
    assert root_is_available(str(shop))
    assert not root_is_available(str(tmp_path / "empty"))
    assert not root_is_available(str(tmp_path / "absent"))


def test_a_root_that_goes_away_before_the_walk_raises(shop: Path) -> None:
    (source,) = sources([str(shop)])
    shutil.rmtree(shop)
    with pytest.raises(RootGone, match="went away"):
        list(source.files(SkippedFiles()))
