"""What PostgreSQL refuses: one line, the documented exit code, and no traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from db.catalogue import Catalogue
from db.errors import (
    CatalogueError,
    DatabaseBusy,
    DatabaseRefuses,
    DatabaseUnavailable,
    InvalidRecord,
    QueryTooSlow,
)
from db.exports.arrow import tables
from db.postgresql.sqlstates import REFUSALS, Kind
from db.queries import Filter
from db.records import FileState, PendingRow
from db.session import make_engine, reading, writing
from tests.commands.running import run
from tests.db.samples import CRAWL, MODEL, register
from tests.servers import PostgresServer

pytestmark = pytest.mark.servers
OF_KIND: dict[Kind, type[CatalogueError]] = {
    Kind.BUSY: DatabaseBusy,
    Kind.TIME_LIMIT: QueryTooSlow,
    Kind.UNAVAILABLE: DatabaseUnavailable,
    Kind.REFUSED: DatabaseRefuses,
    Kind.VALUE: InvalidRecord,
}


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """A catalogue with pending rows."""
    made = postgres.new_url()
    store = register(Catalogue.open(made, create=True))
    store.add_pending_chunk(CRAWL, [PendingRow(f"/p/{n}.jpg") for n in range(3)], MODEL)
    store.close()
    return made


@contextmanager
def administrator(url: str) -> Iterator[psycopg.Connection]:
    found = make_url(url)
    with psycopg.connect(
        host=str(found.query["host"]), user="postgres", dbname=found.database, autocommit=True
    ) as connection:
        yield connection


def role(url: str, name: str, *statements: str) -> str:
    """The URL for a new role, after `statements` of the administrator."""
    with administrator(url) as connection:
        for statement in (f"DROP ROLE IF EXISTS {name}", f"CREATE ROLE {name} LOGIN", *statements):
            connection.execute(statement)  # type: ignore[call-overload]
    return re.sub("//postgres@", f"//{name}@", url)


def drop(url: str, name: str) -> None:
    with administrator(url) as connection:
        connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")  # type: ignore[call-overload]


def writing_commands(folder: Path) -> list[list[str]]:
    rows = folder / "rows.jsonl"
    rows.write_text('{"path": "/new.jpg", "crawl": "other", "status": "pending"}\n')
    return [
        ["cancel", "--crawl", CRAWL],
        ["forget", "--path", "/p/1.jpg", "--yes"],
        ["quarantine", "release", "--crawl", CRAWL],
        ["import", str(rows)],
        ["models", "use", MODEL],
    ]


def assert_refused(url: str, folder: Path, words: str) -> None:
    for command in writing_commands(folder):
        result = run(*command, "--catalogue", url, exit_code=4)
        assert re.search(words, result.stderr), (command, result.stderr)
        assert result.stderr.count("\n") == 1, (command, result.stderr)


@pytest.mark.parametrize("state", [each if len(each) == 5 else f"{each}000" for each in REFUSALS])
def test_each_state_of_a_real_server_is_translated(postgres: PostgresServer, state: str) -> None:
    engine = make_engine(postgres.url("postgres"))
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'what happened' USING ERRCODE = '{state}'; END $$"
    kind = (REFUSALS.get(state) or REFUSALS[state[:2]]).kind
    with pytest.raises(OF_KIND[kind]) as caught, writing(engine) as connection:
        connection.exec_driver_sql(raising)
    assert type(caught.value) is OF_KIND[kind]
    assert "\n" not in str(caught.value)
    engine.dispose()


def test_read_only_server_answers_reads_and_refuses_writes_in_one_line(
    url: str, tmp_path: Path
) -> None:
    database = make_url(url).database
    with administrator(url) as connection:
        connection.execute(
            f"ALTER DATABASE {database} SET default_transaction_read_only = on"  # type: ignore[call-overload]
        )
    assert_refused(url, tmp_path, "read-only transaction.*primary")
    for command in (["stats"], ["query"], ["models", "list"], ["status", "--no-queue"]):
        run(*command, "--catalogue", url)


def test_missing_rights_are_named_in_one_line(url: str, tmp_path: Path) -> None:
    reader = role(url, "reader", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    nobody = role(url, "nobody_at_all")
    try:
        assert_refused(reader, tmp_path, "permission denied.*grant")
        run("stats", "--catalogue", reader)
        for command in (["stats"], ["query"], ["db", "upgrade"], ["label", str(tmp_path)]):
            result = run(*command, "--catalogue", nobody, exit_code=4)
            assert re.fullmatch(r"fashion-cascade: .*permission denied.*\n", result.stderr)
        engine = make_engine(nobody)  # COPY does not go through SQLAlchemy
        with pytest.raises(DatabaseRefuses, match="permission denied"):
            list(tables(engine, Filter()))
        engine.dispose()
    finally:
        drop(url, "reader")
        drop(url, "nobody_at_all")


@pytest.mark.parametrize("value", [-1, 3_000_000_000])
def test_value_that_the_tables_refuse_is_one_line(catalogue: Catalogue, value: int) -> None:
    """-1: a CHECK, on both databases; three thousand million: PostgreSQL's integers end before."""
    register(catalogue).add_pending_chunk(CRAWL, [PendingRow("/p/1.jpg")], MODEL)
    if value > 0 and catalogue.engine.dialect.name == "sqlite":
        return
    statement = sa.text(f"UPDATE catalogue SET attempts = {value}")
    with pytest.raises(InvalidRecord, match="refused a row") as caught:  # noqa: SIM117
        with writing(catalogue.engine) as connection:
            connection.execute(statement)
    assert "\n" not in str(caught.value)
    assert "/p/1.jpg" not in str(caught.value)  # PostgreSQL's DETAIL has the whole row


def test_session_that_an_administrator_ends_is_unavailable(url: str) -> None:
    engine = make_engine(url)
    with pytest.raises(DatabaseUnavailable, match="try again"), reading(engine) as connection:
        number = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        with administrator(url) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", (number,))
        connection.execute(sa.text("SELECT 1"))
    with reading(engine) as connection:  # a new session
        connection.execute(sa.text("SELECT 1"))
    engine.dispose()


def test_too_many_connections_say_what_to_lower(url: str) -> None:
    full = role(url, "full", "ALTER ROLE full CONNECTION LIMIT 0")
    try:
        with pytest.raises(DatabaseUnavailable, match=r"too many connections.*pool_size"):
            Catalogue.open(full)
    finally:
        drop(url, "full")


def test_claims_on_a_read_only_server_raise_what_workers_retry(url: str) -> None:
    store = Catalogue.open(url)
    with administrator(url) as connection:
        connection.execute(
            f"ALTER DATABASE {make_url(url).database} SET default_transaction_read_only = on"  # type: ignore[call-overload]
        )
    store.engine.dispose()
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        store.claim(CRAWL, [FileState("/p/1.jpg")], "me", 60, MODEL)
    store.close()
