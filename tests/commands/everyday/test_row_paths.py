"""Paths of imported rows: nothing outside the setting `roots` is opened, and no address."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from db.catalogue import Catalogue
from tests.commands.running import run
from tests.db.samples import labelled, put, register

INSIDE = "data:image/jpeg;base64,"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of this machine on which nobody may connect."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> Path:
    """Rows of a picture inside the roots, one outside, a link to that one, and addresses."""
    monkeypatch.chdir(tmp_path)
    for folder in ("crawl", "private"):
        Path(folder).mkdir()
        Image.new("RGB", (60, 80), (200, 90, 20)).save(f"{folder}/picture.png")
    Path("crawl/link.png").symlink_to(tmp_path / "private" / "picture.png")
    os.mkfifo("crawl/pipe.png")
    port = listener.getsockname()[1]
    paths = [str(tmp_path / name) for name in ("crawl/picture.png", "private/picture.png")]
    paths += [str(tmp_path / name) for name in ("crawl/link.png", "crawl/pipe.png")]
    paths += [f"{scheme}://127.0.0.1:{port}/x.png" for scheme in ("ftp", "http")]
    store = register(Catalogue.open("sqlite:///catalogue.db"))
    put(store, [labelled(path) for path in paths])
    store.close()
    monkeypatch.setenv("FASHION_CASCADE_ROOTS", str(tmp_path / "crawl"))
    return tmp_path


def assert_nobody_connected(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_review_sheet_opens_only_what_is_inside(place: Path, listener: socket.socket) -> None:
    run("review", "sheet", "sheet.html")
    page = Path("sheet.html").read_text()
    assert page.count(INSIDE) == 1
    assert page.count("outside_root") == 4
    assert_nobody_connected(listener)


def test_without_roots_no_address_is_opened(
    place: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASHION_CASCADE_ROOTS")
    run("review", "sheet", "sheet.html")
    assert Path("sheet.html").read_text().count(INSIDE) == 3
    assert_nobody_connected(listener)


@pytest.mark.parametrize("links", ["copy", "hardlink", "symlink"])
def test_a_tree_contains_only_what_is_inside(
    place: Path, listener: socket.socket, links: str
) -> None:
    done = run("export", "tree", "--format", "tree", "--links", links)
    assert "1 row," in done.stdout
    assert "5 pictures missing, or outside" in done.stderr
    (file,) = [path for path in Path("tree").rglob("*") if path.is_file()]
    assert file.name.endswith("picture.png")
    assert_nobody_connected(listener)


@pytest.mark.parametrize("roots", [True, False])
def test_relabelling_connects_nowhere(
    place: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, *, roots: bool
) -> None:
    if not roots:
        monkeypatch.delenv("FASHION_CASCADE_ROOTS")
    done = run("relabel", "--all", "--model", "constant:glasses/optical", exit_code=1)
    assert_nobody_connected(listener)
    labelled, outside = (1, 4) if roots else (3, 2)
    assert f"labelled {labelled}, rejected {6 - labelled}," in done.stderr
    assert f"rejected as outside_root: {outside}" in done.stderr
