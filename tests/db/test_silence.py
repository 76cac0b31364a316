"""A PostgreSQL that falls silent is noticed."""

from __future__ import annotations

import pytest

from db.postgresql.connect import SILENCE
from db.session import make_engine
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
