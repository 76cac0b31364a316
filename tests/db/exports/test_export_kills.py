"""kill -9 during every kind of export: no target, and the next export is complete."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.records import FileState
from tests.db.dying import EXPORTS
from tests.db.samples import CRAWL, LEASE_SECONDS, MODEL, SUNGLASSES, labelled

ROOT = Path(__file__).parents[3]
ROWS = 40
# a call at which half of the export is written
HALFWAY = {
    "csv": ("db.exports.text:_save_checkpoint", 5),
    "jsonl": ("db.exports.text:_save_checkpoint", 5),
    "sqlite": ("db.exports.sqlite_file:plain", 600),
    "parquet": ("pyarrow.parquet:ParquetWriter.write_table", 5),
    "parts": ("pyarrow.parquet:ParquetWriter.write_table", 5),
    "tree": ("db.exports.folders:place", 20),
    "huggingface": ("pyarrow.parquet:ParquetWriter.write_table", 5),
}
FINISHING = {
    "csv": "db.exports.text:finish_file",  # their checkpoints are renamed too
    "jsonl": "db.exports.text:finish_file",
    "sqlite": "db.exports.sqlite_file:finish_file",
    "parquet": "pathlib:Path.replace",
    "parts": "pathlib:Path.replace",
    "tree": "db.exports.folders:finish_folder",  # each copy is renamed too
    "huggingface": "db.exports.huggingface:finish_folder",
}


@pytest.fixture
def filled(store: Catalogue, tmp_path: Path) -> Catalogue:
    """Forty labelled rows of two categories, and their files."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / f"{number}.jpg" for number in range(ROWS)]
    for path in paths:
        path.write_bytes(path.name.encode())
    store.claim(CRAWL, [FileState(str(p), 5, 1.5) for p in paths], "me", LEASE_SECONDS, MODEL)
    outcomes = [labelled(str(p), SUNGLASSES) for p in paths[: ROWS // 4]]
    outcomes += [labelled(str(p)) for p in paths[ROWS // 4 :]]
    assert store.store(CRAWL, "me", MODEL, outcomes) == ROWS
    return store


def killed(url: str, what: str, target: Path, place: str, number: int) -> None:
    arguments = ["-m", "tests.db.dying", url, what, str(target), place, str(number)]
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def content(target: Path) -> dict[str, bytes]:
    """The files of an export, by their path in it."""
    if target.is_file():
        return {"": target.read_bytes()}
    files = (path for path in target.rglob("*") if path.is_file())
    return {str(path.relative_to(target)): path.read_bytes() for path in files}


def check(filled: Catalogue, what: str, target: Path) -> None:
    """There is no target; the repeated export equals an undisturbed one and leaves no rest."""
    beside = {path.name for path in target.parent.iterdir()}
    assert beside
    assert all(name.startswith(f"{target.name}.partial") for name in beside)
    EXPORTS[what](filled.engine, target)
    undisturbed = target.parent / "undisturbed"
    EXPORTS[what](filled.engine, undisturbed)
    assert content(target) == content(undisturbed)
    names = {path.name for path in target.parent.iterdir()}
    assert names == {"out", "out.sha256", "undisturbed", "undisturbed.sha256"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A path in an empty folder."""
    (tmp_path / "to").mkdir()
    return tmp_path / "to" / "out"


@pytest.mark.parametrize("what", EXPORTS)
def test_killed_halfway(filled: Catalogue, catalogue_url: str, target: Path, what: str) -> None:
    killed(catalogue_url, what, target, *HALFWAY[what])
    check(filled, what, target)


@pytest.mark.parametrize("catalogue_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", EXPORTS)
def test_killed_before_the_final_rename(
    filled: Catalogue, catalogue_url: str, target: Path, what: str
) -> None:
    killed(catalogue_url, what, target, FINISHING[what], 1)
    check(filled, what, target)
