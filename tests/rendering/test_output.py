"""Outputs: complete files, links, pipes, devices, descriptors; CSV lines with any character."""

from __future__ import annotations

import csv
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rendering.csv_lines import csv_line_writer
from rendering.output import is_stream, open_output, open_partial, partial_path

ROOT = Path(__file__).parents[2]
WRITE = """
import sys; from pathlib import Path; from rendering.output import open_output
print("before")
with open_output(Path(sys.argv[1])) as file:
    file.write(b"data\\n")
print("after")
"""


def write(target: Path, data: bytes) -> None:
    with open_output(target) as file:
        file.write(data)


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), open_output(target) as file:
        file.write(b"half")
        assert target.read_bytes() == b"old"
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert target.read_bytes() == b"old"
    write(target, b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_pipe_and_a_device_are_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write(pipe, b"through")
    reader.join()
    assert received == [b"through"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    try:
        os.mknod(tmp_path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    write(tmp_path / "null", b"gone")
    assert stat.S_ISCHR((tmp_path / "null").lstat().st_mode)


def test_the_target_of_a_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("there", "new"):
        link, file = tmp_path / name, tmp_path / "data" / name
        link.symlink_to(Path("data", name))
        if name == "there":
            file.write_bytes(b"old")
        write(link, b"new")
        assert link.is_symlink()
        assert file.read_bytes() == b"new"
        assert not file.is_symlink()
    assert partial_path(tmp_path / "there") == tmp_path / "data" / "there.partial"


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("to_file", [True, False])
def test_standard_output_by_any_name(tmp_path: Path, name: str, to_file: bool) -> None:
    """Redirected to a file, too, nothing is truncated and everything stays in order."""
    if name == "link":
        (tmp_path / "link").symlink_to("/dev/stdout")
        name = str(tmp_path / "link")
    command = [sys.executable, "-c", WRITE, name]
    if to_file:
        with (tmp_path / "out").open("wb") as out:
            subprocess.run(command, cwd=ROOT, stdout=out, check=True)
        found = (tmp_path / "out").read_bytes()
    else:
        found = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    assert found == b"before\ndata\nafter\n"
    assert not (ROOT / "-").exists()


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with open_output(target) as file:
        file.write(b"first")
        with pytest.raises(BlockingIOError, match="another process"), open_output(target):
            pass
    assert target.read_bytes() == b"first"


def test_a_link_or_pipe_at_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    victim, partial = tmp_path / "victim", tmp_path / "out.partial"
    victim.write_bytes(b"precious")
    partial.symlink_to(victim)
    with pytest.raises(OSError, match="out.partial"):
        write(tmp_path / "out", b"x")
    assert victim.read_bytes() == b"precious"
    partial.unlink()
    os.mkfifo(partial)
    with pytest.raises(OSError, match="not a regular file"), open_partial(partial):
        pass


def test_what_is_no_stream(tmp_path: Path) -> None:
    assert not is_stream(tmp_path)
    assert not is_stream(tmp_path / "absent")
    (tmp_path / "loop").symlink_to("loop")
    assert not is_stream(tmp_path / "loop")
    with pytest.raises(IsADirectoryError):
        write(tmp_path, b"x")


def test_csv_with_every_control_character(tmp_path: Path) -> None:
    """Read back by another reader, too: each cell is itself."""
    characters = [chr(code) for code in range(1, 0xA0)] + ["\u2028", "\u2029", "\ufeff"]
    cells = [f"{place}{c}x" for c in characters for place in ("", "a")] + ["\r", "\r\n", '"', ""]
    target = tmp_path / "cells.csv"
    with target.open("w", encoding="utf-8", newline="") as file:
        write_row = csv_line_writer(file.write)
        for cell in cells:
            write_row([cell, "end"])
    with target.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [[cell, "end"] for cell in cells]
    assert b"x,end\n" in target.read_bytes()
    assert b",end\r\n" not in target.read_bytes()
