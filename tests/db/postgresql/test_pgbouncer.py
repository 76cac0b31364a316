"""The catalogue behind a real pgbouncer in transaction mode, which gives each transaction another
session of PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from db import schema
from db.catalogue import Catalogue
from db.errors import QueryTooSlow
from db.exports.text import export_text
from db.queries import Filter, rows, stats
from db.records import FileState
from db.session import make_engine, reading
from tests.db.samples import CRAWL, LEASE_SECONDS, MODEL, labelled, register
from tests.pgbouncer import pooler, through
from tests.servers import PostgresServer

pytestmark = pytest.mark.servers

WRITERS, ROUNDS, PATHS = 6, 12, 8


@pytest.fixture(scope="module")
def query(postgres: PostgresServer) -> Iterator[str]:
    with pooler(postgres) as found:
        yield found


@pytest.fixture
def url(query: str, postgres: PostgresServer) -> str:
    return through(query, postgres.new_url())


def test_many_clients_share_two_sessions(url: str, tmp_path: Path) -> None:
    """The statements of claim and store, repeated until a driver would prepare them."""
    register(Catalogue.open(url, create=True)).close()
    start, failures = threading.Barrier(WRITERS), []

    def write(name: str) -> None:
        store = Catalogue.open(url)
        try:
            start.wait(60)
            for number in range(ROUNDS):
                paths = [f"/{name}/{number}/{part}" for part in range(PATHS)]
                found = store.claim(CRAWL, [FileState(p) for p in paths], name, 60, MODEL)
                store.renew(CRAWL, name, paths, LEASE_SECONDS)
                store.store(CRAWL, name, MODEL, [labelled(file.path) for file in found.todo])
        except BaseException as error:
            failures.append(error)
            start.abort()
            raise
        finally:
            store.close()

    threads = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    store = Catalogue.open(url)
    everything = WRITERS * ROUNDS * PATHS
    for _ in range(12):  # more often than a driver waits before it prepares a statement
        assert sum(count.rows for count in stats(store.engine, by="crawl")) == everything
        assert len(list(rows(store.engine, Filter(crawl=CRAWL)))) == everything
    assert export_text(store.engine, Filter(), tmp_path / "all.csv", "csv").rows == everything
    store.close()


def test_migrations_go_up_and_down(url: str) -> None:
    engine = make_engine(url)
    for _ in range(2):
        schema.upgrade(engine)
        schema.require_current(engine)
        schema.downgrade(engine, "base")
    engine.dispose()


def test_time_limit_stays_in_its_transaction(url: str) -> None:
    engine = make_engine(url)
    with pytest.raises(QueryTooSlow), reading(engine, seconds=0.05) as connection:
        connection.execute(sa.text("SELECT pg_sleep(60)"))
    limits = []
    with reading(engine, seconds=0.05):
        pass
    held = [engine.connect() for _ in range(2)]  # both sessions behind the pooler at once
    for connection in held:
        limits.append(connection.execute(sa.text("SHOW statement_timeout")).scalar_one())
    for connection in held:
        connection.close()
    assert limits == ["0", "0"]
    engine.dispose()
