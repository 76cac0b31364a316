"""Backup and restore as in docs/catalogue.md, with the databases' own tools."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

from sqlalchemy.engine import make_url

from db.catalogue import Catalogue
from db.check import check
from db.queries import Filter, rows
from tests.db.samples import NASTY_PATHS, labelled, put, register
from tests.servers import PostgresServer


def filled(url: str) -> Catalogue:
    store = register(Catalogue.open(url))
    assert put(store, [labelled(path) for path in NASTY_PATHS]) == len(NASTY_PATHS)
    return store


def assert_same(store: Catalogue, url: str) -> None:
    other = Catalogue.open(url, create=False)
    assert list(rows(other.engine, Filter())) == list(rows(store.engine, Filter()))
    assert check(other.engine) == []
    other.close()


def test_sqlite_is_backed_up_while_it_is_written(tmp_path: Path) -> None:
    store = filled(f"sqlite:///{tmp_path / 'c.db'}")
    source, target = sqlite3.connect(tmp_path / "c.db"), sqlite3.connect(tmp_path / "backup.db")
    source.backup(target)  # what the shell's .backup does
    source.close()
    target.close()
    assert_same(store, f"sqlite:///{tmp_path / 'backup.db'}")
    store.close()


def test_postgresql_is_dumped_and_restored(postgres: PostgresServer, tmp_path: Path) -> None:
    store = filled(postgres.new_url())
    new = postgres.new_url()
    where = ["--host", str(postgres.folder), "--username", "postgres"]
    dump, name = tmp_path / "catalogue.dump", str(store.engine.url.database)
    target = str(make_url(new).database)
    for tool, *arguments in (
        ["pg_dump", *where, "--format=custom", f"--file={dump}", name],
        ["pg_restore", *where, "--no-owner", f"--dbname={target}", str(dump)],
    ):
        subprocess.run([postgres.binaries / tool, *arguments], check=True)
    assert_same(store, new)
    store.close()
