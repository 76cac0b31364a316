"""Files on a disk: odd names, links, devices, permissions; nothing blocks or leaves the roots."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cascade.pictures.decode import Loaded, Preprocessing, load
from tests.pictures import GREEN, RED, encoded, png_bomb, solid

PREPROCESSING = Preprocessing()
PICTURE = encoded(solid(GREEN), "PNG")


def reason(path: Path | str, *roots: Path) -> str | None:
    found = load(str(path), PREPROCESSING, [str(root) for root in roots])
    assert found.path == str(path)
    assert (found.pixels is None) == (found.reason is not None)
    assert (found.reason is None) == (found.detail is None)
    return found.reason


def test_good_file(tmp_path: Path) -> None:
    path = tmp_path / "good.png"
    path.write_bytes(PICTURE)
    os.utime(path, (1_700_000_000, 1_700_000_000.25))
    found = load(str(path), PREPROCESSING, [str(tmp_path)])
    assert found.reason is None
    assert found.pixels is not None
    assert tuple(found.pixels[60, 45]) == GREEN
    assert (found.size, found.mtime) == (len(PICTURE), 1_700_000_000.25)


def test_content_hash_is_blake2b_of_128_bits(tmp_path: Path) -> None:
    """The figure is that of ``b2sum --length 128`` for the three letters."""
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    found = load(str(path), PREPROCESSING)
    assert found.content_hash == "cf4ab791c62b8d2b2109c90275287816"
    assert found.reason == "not_an_image"  # a rejected file has its hash too


@pytest.mark.parametrize(
    "name",
    [
        "with space.jpg",
        "quote's \" and `.jpg",
        "new\nline.jpg",
        "tab\t.jpg",
        "ümläut 靴 👟.jpg",
        "-n.jpg",
        "%2e.jpg",
        "x" * 251 + ".jpg",
        os.fsdecode(b"latin-\xe9-\xff.jpg"),
        "no extension",
        "wrong.txt",
    ],
)
def test_odd_names(tmp_path: Path, name: str) -> None:
    path = os.path.join(tmp_path, name)  # noqa: PTH118 - bytes that are no UTF-8
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(PICTURE)
    assert reason(path) is None
    assert reason(path, tmp_path) is None


def test_missing(tmp_path: Path) -> None:
    assert reason(tmp_path / "none.jpg") == "missing"
    assert reason(tmp_path / "none.jpg", tmp_path) == "missing"
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert reason(tmp_path / "dangling.jpg", tmp_path) == "missing"


def test_files_that_are_not_regular(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.jpg"
    os.mkfifo(fifo)  # nobody writes: an ordinary open would wait for ever
    (tmp_path / "link-to-fifo.jpg").symlink_to(fifo)
    (tmp_path / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tmp_path)  # the name of a socket must be short
        try:
            server.bind("socket.jpg")
        finally:
            os.chdir(here)
        for name in ("fifo.jpg", "link-to-fifo.jpg", "folder.jpg", "socket.jpg"):
            assert reason(tmp_path / name, tmp_path) == "unreadable"
            assert reason(tmp_path / name) == "unreadable"
    for device in ("/dev/zero", "/dev/tty", "/dev/null"):
        assert reason(device) == "unreadable"


def test_files_that_nobody_can_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(PICTURE)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert reason(tmp_path / "file" / "below.jpg", tmp_path) == "unreadable"
    assert reason(tmp_path / "loop", tmp_path) == "unreadable"
    assert reason(tmp_path / "loop") == "unreadable"
    assert reason(str(tmp_path / "nul") + "\0.jpg", tmp_path) == "unreadable"
    assert reason(str(tmp_path / "nul") + "\0.jpg") == "unreadable"
    assert reason(tmp_path / ("x" * 300), tmp_path) == "unreadable"


AS_ANOTHER_USER = """
import json, os, sys
from cascade.pictures.decode import Preprocessing, load
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
root, paths = sys.argv[1], sys.argv[2:]
found = [load(path, Preprocessing(), [root]) for path in paths]
print(json.dumps([[one.reason, one.detail] for one in found]))
"""


def test_permission_denied() -> None:
    """In a process of its own that gives up root, for whom everything is readable."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        locked, closed = folder / "locked.png", folder / "closed"
        locked.write_bytes(PICTURE)
        closed.mkdir()
        (closed / "inside.png").write_bytes(PICTURE)
        (folder / "open.png").write_bytes(PICTURE)
        paths = (locked, closed / "inside.png", folder / "open.png")
        folder.chmod(0o755)
        locked.chmod(0)
        closed.chmod(0)
        try:
            done = subprocess.run(
                [sys.executable, "-c", AS_ANOTHER_USER, folder, *paths],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
            )
        finally:
            closed.chmod(0o700)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one for one, _ in found] == ["unreadable", "unreadable", None]
    assert all("Permission denied" in detail for _, detail in found[:2])


# -- roots -------------------------------------------------------------------------------------


@pytest.fixture
def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    crawl, other = tmp_path / "crawl", tmp_path / "crawl-private"  # one name begins with the other
    crawl.mkdir()
    other.mkdir()
    (crawl / "in.png").write_bytes(PICTURE)
    (other / "out.png").write_bytes(PICTURE)
    return crawl, other


def test_outside_root(two_folders: tuple[Path, Path]) -> None:
    crawl, other = two_folders
    (crawl / "link.png").symlink_to(other / "out.png")
    (crawl / "folder").symlink_to(other)
    (crawl / "dangling.png").symlink_to(other / "nothing.png")
    assert reason(crawl / "in.png", crawl) is None
    assert reason(other / "out.png", crawl) == "outside_root"
    assert reason(crawl / "link.png", crawl) == "outside_root"
    assert reason(crawl / "folder" / "out.png", crawl) == "outside_root"
    assert reason(crawl / ".." / "crawl-private" / "out.png", crawl) == "outside_root"
    # whether there is a file outside is nobody's business
    assert reason(crawl / "dangling.png", crawl) == "outside_root"
    assert reason("/etc/passwd", crawl) == "outside_root"
    assert reason("/dev/zero", crawl) == "outside_root"


def test_links_that_stay_inside_and_several_roots(two_folders: tuple[Path, Path]) -> None:
    crawl, other = two_folders
    (crawl / "link.png").symlink_to("in.png")
    (crawl.parent / "alias").symlink_to(crawl)
    assert reason(crawl / "link.png", crawl) is None
    assert reason(crawl / "sub" / ".." / "in.png", crawl) is None
    assert reason(other / "out.png", crawl, other) is None
    assert reason(crawl.parent / "alias" / "in.png", crawl) is None
    assert reason(crawl / "in.png", crawl.parent / "alias") is None  # the root may be a link
    assert reason(crawl / "in.png", crawl / "in.png") is None  # or a file
    assert reason(crawl / "in.png", Path("/")) is None


def test_without_roots_a_path_is_trusted(two_folders: tuple[Path, Path]) -> None:
    crawl, other = two_folders
    (crawl / "link.png").symlink_to(other / "out.png")
    assert reason(crawl / "link.png") is None


# -- races -------------------------------------------------------------------------------------


SWAPPER = """
import os, select, sys
os.chdir(sys.argv[1])
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
"""


@contextmanager
def meanwhile(folder: Path, swap: str) -> Iterator[None]:
    """Runs the lines of ``swap`` in ``folder`` over and over, in a process of its own (a thread
    would wait for its turn just when the race is on), until the block ends."""
    code = SWAPPER + textwrap.indent(swap, "    ")
    command = [sys.executable, "-c", code, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as swapper:
        assert swapper.stdin is not None
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            swapper.stdin.close()
    assert swapper.returncode == 0


def test_a_file_that_becomes_a_fifo_during_opening(tmp_path: Path) -> None:
    """Looked at it is a file, opened it is a FIFO that nobody writes to: still no waiting."""
    (tmp_path / "file").write_bytes(PICTURE)
    os.mkfifo(tmp_path / "fifo")
    swap = """
for name in ("file", "fifo"):
    os.link(name, "spare")
    os.rename("spare", "place.png")
"""
    with meanwhile(tmp_path, swap):
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert reason(tmp_path / "place.png", tmp_path) in (None, "unreadable", "missing")


def test_a_folder_that_becomes_a_link_during_reading(two_folders: tuple[Path, Path]) -> None:
    """Resolved it is a folder inside, opened it is a link outside: nothing there is ever read."""
    crawl, other = two_folders
    (other / "in.png").write_bytes(encoded(solid(RED), "PNG"))
    (crawl / "place").mkdir()
    (crawl / "place" / "in.png").write_bytes(PICTURE)
    (crawl / "link").symlink_to(other)
    swap = """
os.rename("place", "folder")
os.rename("link", "place")
os.rename("place", "link")
os.rename("folder", "place")
"""
    seen = set()
    with meanwhile(crawl, swap):
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            found = load(str(crawl / "place" / "in.png"), PREPROCESSING, [str(crawl)])
            seen.add(found.reason if found.pixels is None else tuple(found.pixels[60, 45]))
    assert GREEN in seen
    assert seen <= {GREEN, "outside_root", "missing", "unreadable"}


# -- size --------------------------------------------------------------------------------------


def test_more_bytes_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(PICTURE)
    exactly = Preprocessing(max_bytes=len(PICTURE))
    assert load(str(path), exactly).reason is None
    found = load(str(path), Preprocessing(max_bytes=len(PICTURE) - 1))
    assert (found.reason, found.size, found.content_hash) == ("too_large", len(PICTURE), None)


def test_sparse_file_of_a_terabyte(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert reason(path, tmp_path) == "too_large"


def test_file_of_unknown_size(tmp_path: Path) -> None:
    """Files of /proc say that they have no bytes, and have some: they are read to their end."""
    found: Loaded = load("/proc/self/status", PREPROCESSING)
    assert found.reason == "not_an_image"


def test_bomb_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jpg"
    path.write_bytes(png_bomb())
    assert reason(path, tmp_path) == "too_large"
