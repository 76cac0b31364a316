"""Archives as an argument: which members are taken, their names, roots, crawl and shops."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from cascade.pictures import safe_read
from worker.errors import InputError
from worker.sources.paths import to_os_path
from worker.sources.row_files import read_row
from worker.sources.scan import SkippedFiles, root_is_available, sources
from worker.sources.shops import Shops

TAKEN = ["asos/1.jpg", "./2", "../3.jpg", "/4.jpg"]
LEFT_OUT = ["notes.txt", ".hidden/5.jpg", "a/.DS_Store", "__MACOSX/asos/._1.jpg"]


def archive_of(path: Path, names: list[str]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, name)
        return path
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode("latin-1")))
    return path


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_members_become_rows_by_the_rules_of_folders(tmp_path: Path, suffix: str) -> None:
    path = archive_of(tmp_path / f"spring{suffix}", [*TAKEN, *LEFT_OUT])
    skipped = SkippedFiles()
    (source,) = sources([str(path)], shops=Shops())
    found = list(source.files(skipped))
    assert (source.crawl, source.roots) == ("spring", (str(path),))
    assert source.repeatable
    assert [file.path for file in found] == [f"{path}!/{name}" for name in TAKEN]
    assert dict(skipped.extensions) == {".txt": 1}
    assert found[0].shop == "asos"
    assert found[0].size == len(TAKEN[0])
    reasons = [read_row(file.path, 1000, source.roots).reason for file in found]
    assert reasons == [None, None, "outside_root", "outside_root"]


def test_a_name_of_any_bytes_is_read_back(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.tar", ["caf\xe9.jpg"])
    (file,) = next(iter(sources([str(path)]))).files(SkippedFiles())
    assert file.path == f"file://{path}%21/caf%E9.jpg"
    assert to_os_path(file.path) == f"{path}!/caf\udce9.jpg"
    assert read_row(file.path, 1000, [str(tmp_path)]).data == b"caf\xe9.jpg"


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.TAR.XZ"])
def test_a_compressed_tar_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match="must be unpacked to find a picture"):
        sources([str(tmp_path / name)])


def test_what_is_no_archive_is_an_error_not_rows(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no archive")
    (source,) = sources([str(tmp_path / "a.zip")])
    with pytest.raises(InputError, match=r"a\.zip: expected a zip or tar archive"):
        list(source.files(SkippedFiles()))
    assert isinstance(safe_read.list_members(str(tmp_path / "gone.zip")), safe_read.Contents)


def test_an_archive_that_is_gone_makes_no_missing_pictures(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", TAKEN)
    assert root_is_available(str(path))
    path.unlink()
    assert not root_is_available(str(path))
