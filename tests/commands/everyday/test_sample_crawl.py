"""The command `sample-crawl`, run in a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", "sample-crawl", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_writes_a_flat_crawl_of_drawings(tmp_path: Path) -> None:
    folder = tmp_path / "a crawl"
    done = run(folder, "--per-leaf", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder}\n"
    assert "18 drawings (not photographs)" in done.stderr
    assert "3 broken files" in done.stderr
    assert len(list(folder.iterdir())) == 21


def test_labelled_folders_contain_no_broken_files(tmp_path: Path) -> None:
    done = run(tmp_path, "--per-leaf", 1, "--labelled-folders")
    assert done.returncode == 0, done.stderr
    assert "broken" not in done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 18
    assert tmp_path / "shoes" / "female" / "sandals" / "0001.jpg" in files


def test_wrong_arguments_are_usage_errors(tmp_path: Path) -> None:
    assert run(tmp_path, "--per-leaf", 0).returncode == 2
    (tmp_path / "file").write_bytes(b"")
    assert run(tmp_path / "file").returncode == 2
    done = run(tmp_path / "file" / "below")
    assert done.returncode == 2
    assert "cannot write into" in done.stderr


def test_help_has_an_example() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "Example:" in done.stdout
    assert "not photographs" in done.stdout
