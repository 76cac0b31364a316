"""The documented filters are answered by their index, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks.catalogue_reads import documented, fill
from db import lookups, models
from db.catalogue import Catalogue
from db.leases import RowState
from db.models import path_key
from db.queries import Filter, page
from db.records import PendingRow
from tests.servers import PostgresServer

ROWS = 20_000
SQLITE_KEYS = {"uq_catalogue_crawl_path_key": "sqlite_autoindex_catalogue_1"}


def plan(catalogue: Catalogue, wanted: Filter, order_by: str) -> str:
    """How the database answers the first page, in its own words."""
    asked: list[tuple[str, Any]] = []

    def remember(_c: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        asked.append((statement, values))

    sa.event.listen(catalogue.engine, "before_cursor_execute", remember)
    page(catalogue.engine, wanted, order_by=order_by, limit=100)
    sa.event.remove(catalogue.engine, "before_cursor_execute", remember)
    statement, values = asked[-1]
    with catalogue.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            explain = "EXPLAIN QUERY PLAN "
        else:
            # a table as small as this would be read as a whole
            connection.execute(sa.text("SET enable_seqscan = off"))
            explain = "EXPLAIN "
        found = connection.exec_driver_sql(explain + statement, values).all()
    return "\n".join(str(row[-1]) for row in found)


def test_the_documented_filters_use_their_index(catalogue: Catalogue) -> None:
    fill(catalogue, ROWS)
    wrong = {}
    for name, (wanted, order_by, index) in documented(ROWS).items():
        if catalogue.engine.dialect.name == "sqlite":
            index = SQLITE_KEYS.get(index, index)
        said = plan(catalogue, wanted, order_by)
        if index not in said:
            wrong[name] = said
    assert wrong == {}


@pytest.mark.parametrize("order_by", ["id", "-id"])
def test_the_first_page_of_everything_sorts_nothing(catalogue: Catalogue, order_by: str) -> None:
    said = plan(catalogue, Filter(), order_by).lower()
    assert "sort" not in said
    assert "b-tree" not in said


def test_a_claim_finds_its_rows_by_key_before_postgresql_knows_the_table(
    postgres: PostgresServer,
) -> None:
    opened = Catalogue.open(postgres.new_url())
    rows = [PendingRow(f"/crawl/{number:05d}.jpg") for number in range(5000)]
    opened.add_pending_chunk("spring", rows, None)
    shard = [path_key(row.path) for row in rows[100:164]]
    columns = tuple(RowState.__dataclass_fields__)
    query = lookups.states(models.catalogue, columns, on_postgresql=True, lock=True)
    values = {"crawl": "spring", "keys": shard}
    said = str(query.compile(opened.engine, compile_kwargs={"render_postcompile": True}))
    with opened.engine.connect() as connection:
        found = connection.exec_driver_sql("EXPLAIN " + said, values).all()
    plan_of_claim = "\n".join(str(row[-1]) for row in found)
    opened.close()
    assert "uq_catalogue_crawl_path_key" in plan_of_claim
    assert "ix_catalogue_crawl_id" not in plan_of_claim  # that reads the whole crawl
