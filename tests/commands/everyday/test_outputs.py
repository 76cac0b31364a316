"""Outputs of commands: standard output, pipes, devices and links; archives that stay whole."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from db.catalogue import Catalogue
from tests.commands.running import run
from tests.db.samples import CRAWL, labelled, put, register

ROOT = Path(__file__).parents[3]
RETURN = "/shop/a\rb.jpg"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a catalogue of two pictures, one with a carriage return."""
    monkeypatch.chdir(tmp_path)
    store = register(Catalogue.open("sqlite:///catalogue.db"))
    put(store, [labelled("/shop/a.jpg"), labelled(RETURN)])
    store.close()
    return tmp_path


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, str(ROOT / "cli.py"), *arguments]
    return subprocess.run(words, check=False, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_export_to_standard_output(place: Path, name: str) -> None:
    done = command("export", name, "--format", "jsonl", stdout=subprocess.PIPE)
    assert sorted(json.loads(line)["path"] for line in done.stdout.splitlines()) == [
        RETURN,
        "/shop/a.jpg",
    ]
    assert b"2 rows, sha256" in done.stderr
    assert [path.name for path in place.iterdir() if not path.name.startswith("cat")] == []


def test_parquet_through_a_pipe(place: Path) -> None:
    done = command("export", "-", "--format", "parquet", stdout=subprocess.PIPE)
    Path("copy.parquet").write_bytes(done.stdout)
    assert duckdb.sql("SELECT count(*) FROM 'copy.parquet'").fetchall() == [(2,)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "OUT", "--format", "csv"),
        ("query", "--format", "csv", "--output", "OUT"),
    ],
)
def test_pipes_devices_and_links_stay(place: Path, arguments: tuple[str, ...]) -> None:
    def written_to(name: str) -> None:
        run(*(name if word == "OUT" else word for word in arguments))

    os.mkfifo("pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(Path("pipe").read_bytes()))
    reader.start()
    written_to("pipe")
    reader.join()
    assert stat.S_ISFIFO(Path("pipe").lstat().st_mode)
    Path("link").symlink_to("file")
    Path("file").write_text("old")
    written_to("link")
    assert Path("link").is_symlink()
    assert Path("file").read_bytes() == received[0]
    names = {path.name for path in place.iterdir() if not path.name.startswith("catalogue")}
    assert names - {"link.sha256"} == {"pipe", "link", "file"}


@pytest.mark.parametrize("name", ["-", "pipe"])
def test_what_needs_files_says_so(place: Path, name: str) -> None:
    os.mkfifo("pipe")
    for arguments in (
        ("export", name, "--format", "sqlite"),
        ("export", name, "--format", "tree"),
        ("archive", "--crawl", CRAWL, "--to", name),
        ("review", "sheet", name),
    ):
        said = run(*arguments, exit_code=2).stderr
        assert "name" in said
    assert run("query", "--count").stdout == "2\n"


def test_carriage_returns_in_csv(place: Path) -> None:
    run("export", "out.csv")
    run("query", "--columns", "path", "--output", "query.csv")
    texts = [Path("out.csv").read_bytes(), Path("query.csv").read_bytes()]
    texts.append(run("query", "--columns", "path", "--format", "csv").stdout_bytes)
    for text in texts:
        rows = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
        assert sorted(row["path"] for row in rows) == [RETURN, "/shop/a.jpg"]
    other = run("import", "out.csv", "--catalogue", "other.db").stdout
    assert "2 rows added" in other


def test_an_archive_is_never_replaced_by_a_poorer_one(place: Path) -> None:
    run("archive", "--crawl", CRAWL, "--to", "kept.jsonl")
    kept = Path("kept.jsonl").read_bytes()
    assert kept.count(b"\n") == 2
    said = run("archive", "--crawl", CRAWL, "--to", "kept.jsonl", exit_code=2).stderr
    assert "was archived at" in said
    assert "kept.jsonl" in said
    run("archive", "--crawl", CRAWL, "--to", "other.jsonl", exit_code=2)
    assert Path("kept.jsonl").read_bytes() == kept
    assert not Path("other.jsonl").exists()

    store = register(Catalogue.open("sqlite:///catalogue.db"))
    put(store, [labelled("/shop/new.jpg")])
    store.close()
    said = run("archive", "--crawl", CRAWL, "--to", "kept.jsonl", exit_code=2).stderr
    assert "archive to another name" in said
    assert Path("kept.jsonl").read_bytes() == kept
    assert run("query", "--count").stdout == "1\n"
    assert not list(place.glob("*.partial*"))
    run("archive", "--crawl", CRAWL, "--to", "second.jsonl")
    assert run("query", "--count").stdout == "0\n"


def test_an_archive_whose_rows_were_not_deleted_can_be_repeated(place: Path) -> None:
    run("export", "same.jsonl", "--crawl", CRAWL)
    run("archive", "--crawl", CRAWL, "--to", "same.jsonl")
    assert run("query", "--count").stdout == "0\n"


def test_an_empty_crawl_is_not_archived(place: Path) -> None:
    run("forget", "--path", "/shop/a.jpg", "--yes")
    run("forget", "--path", RETURN, "--yes")
    said = run("archive", "--crawl", CRAWL, exit_code=2).stderr
    assert "has no rows" in said
    assert not Path(f"{CRAWL}.jsonl").exists()
