"""Engines and transactions: URLs, SQLite's settings, error messages, many writers."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from db import ledger
from db.catalogue import Catalogue
from db.errors import DatabaseBusy, DatabaseUnavailable, InvalidUrl
from db.records import FileState
from db.session import make_engine, parse_url, reading, writing
from tests.db.samples import CRAWL, LEASE_SECONDS, MODEL

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "url", ["", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "://", "postgresql+foo://x"]
)
def test_url_of_an_unsupported_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrl, match=r"sqlite:///"):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("catalogue.db", "sqlite"),
        ("/tmp/with space.db", "sqlite"),
        ("sqlite:////tmp/c.db", "sqlite"),
        ("postgres://u:secret@h/d", "postgresql+psycopg"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg:///d?host=/run", "postgresql+psycopg"),
    ],
)
def test_accepted_urls(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"no/c\.db.*writable"):
        Catalogue.open(f"sqlite:///{tmp_path}/no/c.db")


def test_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"\xff\xd8 this is a picture" * 100)
    with pytest.raises(DatabaseUnavailable, match=r"photo\.jpg"):
        Catalogue.open(str(file))


def test_missing_server_and_no_password_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        Catalogue.open(f"postgresql://u:secret@/d?host={tmp_path}")
    assert "secret" not in str(caught.value)
    assert "server runs" in str(caught.value)
    assert "folder" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p@ss/w:rd#%@127.0.0.1:1/d",
        "postgresql://me:w/rd@127.0.0.1:1/d",
        "postgresql://me:w#rd@127.0.0.1:1/d",
        "postgresql://me:s@cret@127.0.0.1:1/d",
        "postgresql://me:word@127.0.0.1:port/d",
        "postgres:/me:word@127.0.0.1/d",
        "me:word@127.0.0.1/d",
    ],
)
def test_ambiguous_url_is_refused_and_never_shown(url: str) -> None:
    with pytest.raises(InvalidUrl, match="percent-encode") as caught:
        Catalogue.open(url)
    assert not any(part in str(caught.value) for part in ("rd#", "w/rd", "cret", "me:", "127"))
    assert caught.value.__cause__ is None


def test_message_about_many_addresses_is_one_line() -> None:
    with socket.socket() as held:  # bound and never listening: it refuses
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        url = f"postgresql://u@/d?host=127.0.0.1,127.0.0.1&port={port},{port}"
        with pytest.raises(DatabaseUnavailable, match=r"refused.*check the host") as caught:
            Catalogue.open(url)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("refused") == 1


def test_wrong_sql_keeps_its_error_type(catalogue: Catalogue) -> None:
    with pytest.raises(sa.exc.DBAPIError), reading(catalogue.engine) as connection:
        connection.execute(sa.text("SELECT no_such_column FROM catalogue"))


def test_sqlite_settings_for_many_writers(tmp_path: Path) -> None:
    store = Catalogue.open(f"sqlite:///{tmp_path / 'c.db'}")
    for pragma, expected in (("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1)):
        with reading(store.engine) as connection:
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == expected
    store.close()


def test_sqlite_takes_the_write_lock_before_it_reads(tmp_path: Path) -> None:
    """A writer that has only read so far already blocks other writers: BEGIN IMMEDIATE."""
    file = tmp_path / "c.db"
    store = Catalogue.open(str(file))
    with writing(store.engine) as connection:
        connection.execute(sa.text("SELECT count(*) FROM catalogue"))
        other = sqlite3.connect(file, timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM catalogue").fetchone() == (0,)
        other.close()
    store.close()


def test_lock_that_is_never_released_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "c.db"
    store = Catalogue.open(str(file))
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    with pytest.raises(DatabaseBusy, match="another writer"):
        store.release(CRAWL, "me")
    holder.close()
    store.close()


def test_failed_transaction_leaves_nothing(catalogue: Catalogue) -> None:
    with pytest.raises(RuntimeError, match="on purpose"), writing(catalogue.engine) as connection:
        connection.execute(
            sa.text("INSERT INTO labels (label, category, is_leaf) VALUES ('a', 'a', true)")
        )
        raise RuntimeError("on purpose")
    with reading(catalogue.engine) as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM labels")).scalar() == 0


def test_concurrent_claims_share_the_rows(store: Catalogue, catalogue_url: str) -> None:
    """Each of 200 new paths goes to exactly one of the workers that claim at the same time."""
    paths = [f"/{number}" for number in range(200)]
    workers, got = 6, {}
    barrier = threading.Barrier(workers)

    def work(name: str) -> None:
        mine = Catalogue(make_engine(catalogue_url))
        ordered = paths if name[-1] in "024" else paths[::-1]
        barrier.wait()
        found = mine.claim(CRAWL, [FileState(path) for path in ordered], name, LEASE_SECONDS, MODEL)
        got[name] = [file.path for file in found.todo]
        assert len(found.todo) + len(found.busy) == len(paths)
        mine.close()

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path for mine in got.values() for path in mine) == sorted(paths)


WRITER = """
import sys
from db.catalogue import Catalogue
from db.records import FileState
from tests.db.samples import MODEL, labelled
url, name = sys.argv[1:]
store = Catalogue.open(url, create=True)
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
for batch in range(25):
    paths = [f"/{name}/{batch}/{number}" for number in range(16)]
    found = store.claim("crawl", [FileState(path) for path in paths], name, 60, MODEL)
    store.renew("crawl", name, paths, 60)
    store.store("crawl", name, MODEL, [labelled(file.path) for file in found.todo])
"""


def test_many_processes_write_one_sqlite_file(tmp_path: Path) -> None:
    from tests.db.samples import register

    url = f"sqlite:///{tmp_path / 'c.db'}"
    store = register(Catalogue.open(url))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, f"w{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(6)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
    ends = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        ends.append((worker.returncode, errors.decode()[-500:]))
    assert ends == [(0, "")] * len(workers)
    assert ledger.counts(store.engine)["labelled"] == 6 * 25 * 16
    store.close()
