"""Connections to PostgreSQL: encoding, date style, and pgbouncer in transaction mode."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from db import schema
from db.catalogue import Catalogue
from db.errors import DatabaseRefuses
from db.session import make_engine, reading
from tests.commands.running import run
from tests.servers import PostgresServer

pytestmark = pytest.mark.servers


def execute(server: PostgresServer, statement: str) -> None:
    with psycopg.connect(
        host=str(server.folder), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_database_that_is_not_utf8_is_refused_in_one_line(
    postgres: PostgresServer, encoding: str
) -> None:
    name = f"not_utf8_{encoding.lower()}"
    execute(postgres, f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    with pytest.raises(DatabaseRefuses, match=f"UTF8, received {encoding}") as caught:
        Catalogue.open(postgres.url(name), create=True)
    assert "\n" not in str(caught.value)
    result = run("stats", "--catalogue", postgres.url(name), exit_code=4)
    assert result.stderr.count("\n") == 1


def test_settings_of_the_server_and_the_environment_change_nothing(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_url()
    database = make_url(url).database
    execute(postgres, f"ALTER DATABASE {database} SET datestyle = 'German'")
    execute(postgres, f"ALTER DATABASE {database} SET client_encoding = 'LATIN1'")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    engine = make_engine(url)
    schema.upgrade(engine)
    with reading(engine) as connection:
        query = sa.text("SELECT now(), CAST(:text AS text)")
        when, text = connection.execute(query, {"text": "Größe 靴"}).one()
    assert when.tzinfo is not None
    assert text == "Größe 靴"
    engine.dispose()
