"""A PostgreSQL that falls silent is noticed."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from db.catalogue import Catalogue
from db.postgresql import connect
from db.postgresql.connect import SILENCE
from db.records import PendingRow
from db.session import make_engine, writing
from db.tables import catalogue as table
from tests.db.samples import CRAWL, labelled, register
from tests.faults.proxy import Proxy
from tests.servers import PostgresServer

pytestmark = pytest.mark.servers


def test_connections_notice_a_server_that_fell_silent(postgres: PostgresServer) -> None:
    engine = make_engine(postgres.new_url())
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        used = driver.info.get_parameters()
    engine.dispose()
    assert {name: used[name] for name in SILENCE} == {k: str(v) for k, v in SILENCE.items()}
    assert 0 < SILENCE["tcp_user_timeout"] <= 30_000  # milliseconds


def test_a_host_that_vanishes_in_a_transaction_holds_nobody_up(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its locks end with its transaction, which the server ends after a while of silence."""
    monkeypatch.setattr(connect, "IDLE_SECONDS", 1)
    url = postgres.new_url()
    store = register(Catalogue.open(url))
    store.add_pending(CRAWL, [PendingRow("/a")], None)
    proxy = Proxy(postgres.folder / ".s.PGSQL.5432")
    database = make_url(url).database
    there = f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}?sslmode=disable"
    engine = make_engine(there)
    try:
        vanishing = engine.connect()
        vanishing.begin()
        connect.limit_idleness(vanishing)
        vanishing.execute(sa.update(table).values(size=1))
        proxy.damage("silence")  # nothing from here ever reaches the server
        with writing(store.engine) as other:
            other.execute(sa.text("SET LOCAL lock_timeout = '20s'"))
            other.execute(sa.update(table).values(size=2))
        assert store.store(CRAWL, "me", "model-1", [labelled("/a")]) == 1
        vanishing.invalidate()
    finally:
        engine.dispose()
        proxy.close()
        store.close()


def test_a_transaction_that_writes_may_be_silent_for_a_while_only(
    postgres: PostgresServer,
) -> None:
    engine = make_engine(postgres.new_url())
    with writing(engine) as connection:
        found = connection.execute(
            sa.text("SELECT current_setting('idle_in_transaction_session_timeout')")
        ).scalar_one()
    with engine.connect() as connection:
        after = connection.execute(
            sa.text("SELECT current_setting('idle_in_transaction_session_timeout')")
        ).scalar_one()
    engine.dispose()
    assert (found, after) == (f"{connect.IDLE_SECONDS}s", "0")
