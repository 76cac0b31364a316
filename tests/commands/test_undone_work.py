"""A command that leaves work undone says what and does not end with 0."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.records import FileState
from tests.commands.running import run
from tests.db.samples import labelled, put, register
from tests.redis_server import RedisServer
from tests.worker.crawls import MODEL_NAME, write_crawl

ROOT = Path(__file__).parents[2]
OTHER_MODEL = "constant:glasses/optical"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_CASCADE_MODEL", MODEL_NAME)
    return tmp_path


def hide_a_folder(folder: Path) -> None:
    """Make a folder with a picture that nobody can list, not even root: its path is too long."""
    write_crawl(folder / "new", 1)
    for _ in range(20):
        (folder / ("x" * 250)).mkdir()
        (folder / "new").rename(folder / ("x" * 250) / "inside")
        (folder / ("x" * 250)).rename(folder / "new")
        (folder / "new" / "inside").rename(folder / "new" / ("x" * 250))


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_crawl(Path("spring"), 3)
    hide_a_folder(Path("spring"))
    done = run("label", "spring", exit_code=1)
    assert "labelled 3, rejected 0" in done.stderr
    assert "cannot read the folder" in done.stderr
    assert "name too long" in done.stderr
    said = run("label", "spring", exit_code=1).stderr
    assert "3 pictures done before" in said
    server = RedisServer(tmp_path / "redis", data=False).start()
    try:
        done = run("enqueue", "spring", "--broker", server.url, exit_code=1)
        assert "3 looked at" in done.stdout
        assert "name too long" in done.stderr
    finally:
        server.kill()


def test_pictures_that_another_worker_holds_are_left() -> None:
    paths = [str(path.absolute()) for path in write_crawl(Path("spring"), 3)]
    store = Catalogue.open("sqlite:///catalogue.db")
    store.claim("spring", [FileState(paths[0])], "another host:1:1", 300.0, "model-1")
    store.close()
    said = run("label", "spring", exit_code=1).stderr
    assert "labelled 2, rejected 0" in said
    assert "leased by another worker now: 1; run again later" in said


def test_a_full_disk_is_said_and_not_that_nothing_was_found() -> None:
    write_crawl(Path("spring"), 60)
    run("db", "upgrade")
    with sqlite3.connect("catalogue.db") as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    Path("pages").write_text(str(pages))
    path = os.pathsep.join([str(ROOT / "tests/worker/hooks"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "cli", "label", "spring"],
        env=os.environ | {"PYTHONPATH": path, "MAX_PAGES_IN": "pages"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "database or disk is full" in done.stderr
    assert "no pictures were found" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_rows_that_keep_their_old_labels_are_counted() -> None:
    paths = write_crawl(Path("spring"), 3)
    run("label", "spring")
    paths[0].write_bytes(b"no picture any more")
    paths[1].write_bytes(paths[2].read_bytes())
    done = run("relabel", "--all", "--model", OTHER_MODEL, exit_code=1)
    assert "1 rows are labelled by model" in done.stderr
    assert "1 rejected: they keep their old labels" in done.stderr
    assert "1 whose files have changed since" in done.stderr


def test_a_path_that_is_not_quarantined_is_named(tmp_path: Path) -> None:
    store = register(Catalogue.open("sqlite:///catalogue.db"))
    put(store, [labelled("/shop/a.jpg")])
    store.close()
    server = RedisServer(tmp_path / "redis", data=False).start()
    try:
        words = ("quarantine", "release", "--crawl", "spring", "--broker", server.url)
        run(*words)
        said = run(*words, "/shop/a.jpg", exit_code=1).stderr
        assert "not quarantined in spring: /shop/a.jpg" in said
    finally:
        server.kill()
