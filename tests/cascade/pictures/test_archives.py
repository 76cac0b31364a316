"""Members of zip and tar archives: read like files, hostile ones refused, nothing on the disk."""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from cascade.pictures import archives, safe_read
from cascade.pictures.decode import Preprocessing, load
from tests.pictures import GREEN, RED, encoded, solid

PICTURES = {"shoes/1.png": encoded(solid(GREEN), "PNG"), "2.png": encoded(solid(RED), "PNG")}
LIMIT = 1 << 20


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (2026, 11, 25, 10, 20, 30))
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_764_066_030
            archive.addfile(info, io.BytesIO(data))
    return path


def archive_of(path: Path, members: dict[str, bytes]) -> Path:
    return (tar_of if path.suffix == ".tar" else zip_of)(path, members)


BOTH = pytest.mark.parametrize("name", ["a.zip", "b.TAR", "c.tar"])


def read(archive: Path, member: str, *roots: Path) -> safe_read.Contents:
    return safe_read.read(f"{archive}!/{member}", LIMIT, [str(root) for root in roots])


@BOTH
def test_members_are_read_like_files(tmp_path: Path, name: str) -> None:
    path = (tar_of if name.lower().endswith("tar") else zip_of)(tmp_path / name, PICTURES)
    for member, data in PICTURES.items():
        found = load(f"{path}!/{member}", Preprocessing(), [str(tmp_path)])
        assert found.pixels is not None
        assert tuple(found.pixels[60, 45]) == (GREEN if member.startswith("shoes") else RED)
        # 2026-11-25 10:20:30 in a zip, which has no zone, and 2025-11-25 10:20:30 UTC in the tar
        assert (found.size, found.mtime) == (
            len(data),
            1_764_066_030 if name.lower().endswith("tar") else 1_795_602_030,
        )
    listed = safe_read.list_members(str(path))
    assert not isinstance(listed, safe_read.Contents)
    assert {member.name: member.size for member in listed} == {
        name: len(data) for name, data in PICTURES.items()
    }
    assert [each.name for each in tmp_path.iterdir()] == [name]  # nothing is unpacked


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("gone.png", "missing"),
        ("shoes", "missing"),
        ("/etc/passwd", "outside_root"),
        ("../../x.png", "outside_root"),
        ("a/../../x.png", "outside_root"),
        ("..\\x.png", "outside_root"),
        ("nul\0.png", "outside_root"),
        ("big.png", "too_large"),
    ],
)
def test_members_that_are_refused(tmp_path: Path, suffix: str, member: str, reason: str) -> None:
    names = ["/etc/passwd", "../../x.png", "a/../../x.png", "..\\x.png"]
    members = {**dict.fromkeys(names, b"secret"), "big.png": os.urandom(LIMIT + 1), **PICTURES}
    found = read(archive_of(tmp_path / f"a{suffix}", members), member)
    assert (found.reason, found.data) == (reason, None)
    assert found.detail


def test_links_and_devices_in_archives_are_never_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in {
            "sym": tarfile.SYMTYPE,
            "hard": tarfile.LNKTYPE,
            "device": tarfile.CHRTYPE,
            "fifo": tarfile.FIFOTYPE,
        }.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(tmp_path / "secret")
            archive.addfile(info)
    for name in ("sym", "hard", "device", "fifo"):
        assert read(tmp_path / "a.tar", name).reason == "outside_root"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        link = zipfile.ZipInfo("sym")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, str(tmp_path / "secret"))
    assert read(tmp_path / "a.zip", "sym").reason == "outside_root"


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_the_archive_must_be_below_a_root(tmp_path: Path, suffix: str) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    path = archive_of(outside / f"a{suffix}", PICTURES)
    (inside / f"link{suffix}").symlink_to(path)
    assert read(path, "2.png", inside).reason == "outside_root"
    assert read(inside / f"link{suffix}", "2.png", inside).reason == "outside_root"
    assert read(path, "2.png", outside).data == PICTURES["2.png"]
    assert read(path, "2.png", path).data == PICTURES["2.png"]  # the archive is a root itself
    os.mkfifo(inside / f"pipe{suffix}")
    assert read(inside / f"pipe{suffix}", "2.png", inside).reason == "unreadable"
    assert read(inside / f"gone{suffix}", "2.png", inside).reason == "missing"


def test_a_bomb_is_refused_whole(tmp_path: Path) -> None:
    zeros = b"\0" * (LIMIT // 2)
    path = zip_of(tmp_path / "a.zip", dict.fromkeys(map(str, range(10)), zeros))
    assert path.stat().st_size * archives.MAX_RATIO < 10 * len(zeros)
    found = read(path, "3")
    assert found.reason == "too_large"
    assert "times its size" in str(found.detail)


def test_a_member_that_lies_about_its_size_is_bounded(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"a.png": os.urandom(1000) + bytes(LIMIT * 2)})
    raw = path.read_bytes()
    size = struct.pack("<L", 1000 + LIMIT * 2)
    assert raw.count(size) == 2
    path.write_bytes(raw.replace(size, struct.pack("<L", 500)))
    found = read(path, "a.png")
    assert (found.reason, found.data) == ("unreadable", None)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)  # a limit
    path = archive_of(tmp_path / f"a{suffix}", {str(n): b"x" for n in range(3)})
    assert read(path, "1").reason == "too_large"


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_huge_index_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(archives, "MAX_INDEX_BYTES", 2000)  # a limit
    path = archive_of(tmp_path / f"a{suffix}", {f"{n}{'x' * 5000}": b"x" for n in range(3)})
    found = read(path, "1")
    assert (found.reason, "an index of more than" in str(found.detail)) == ("too_large", True)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4" + b"\0" * 100, b"x" * 5000])
def test_what_is_no_archive(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert read(path, "1.png").reason in ("unreadable", "missing")


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_damaged_archives_never_raise(tmp_path: Path, suffix: str) -> None:
    whole = archive_of(tmp_path / f"a{suffix}", PICTURES).read_bytes()
    path = tmp_path / f"b{suffix}"
    for place in range(0, len(whole), max(len(whole) // 150, 1)):
        for damaged in (whole[:place], whole[:place] + b"\xff" + whole[place + 1 :]):
            path.write_bytes(damaged)
            os.utime(path, ns=(place, place))
            found = read(path, "2.png")
            assert (found.data is None) == (found.reason is not None)


def test_an_encrypted_member_is_unreadable(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"a.png": b"x"})
    raw = bytearray(path.read_bytes())
    raw[6] |= 1  # its flags, in front of the bytes and in the directory
    raw[raw.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    found = read(path, "a.png")
    assert found.reason == "unreadable"
    assert "encrypted" in str(found.detail)


def test_a_plain_file_with_such_a_name_is_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "a.zip!"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"plain")
    assert safe_read.read(str(folder / "1.png"), LIMIT).data == b"plain"


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_replaced_archive_is_listed_anew(tmp_path: Path, suffix: str) -> None:
    path = archive_of(tmp_path / f"a{suffix}", {"1.png": b"old"})
    assert read(path, "1.png").data == b"old"
    other = archive_of(tmp_path / f"other{suffix}", {"0.png": b"first", "1.png": b"new"})
    other.replace(path)
    assert read(path, "1.png").data == b"new"


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_threads_share_an_archive(tmp_path: Path, suffix: str) -> None:
    members = {str(n): os.urandom(20_000) for n in range(40)}
    path = archive_of(tmp_path / f"a{suffix}", members)
    wrong: list[str] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        wrong.extend(name for name, data in members.items() if read(path, name).data != data)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
