"""The documented filters are answered by their index, on both databases."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.catalogue_plans import explained, first_page
from benchmarks.catalogue_reads import documented
from benchmarks.catalogue_rows import MODELS, fill
from db import index_pages
from db.catalogue import Catalogue
from db.queries import Filter, page
from db.records import Outcome, PendingRow

ROWS = 20_000
SQLITE_KEYS = {"uq_catalogue_crawl_path_key": "sqlite_autoindex_catalogue_1"}


def plan(catalogue: Catalogue, work: Callable[[], object], part: str = "") -> str:
    """How the database does what `work` asks it last, in its own words."""
    # a table as small as this would be read as a whole
    return "\n".join(explained(catalogue.engine, work, part, "SET enable_seqscan = off"))


def test_the_documented_filters_use_their_index(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        index_pages, "ROWS_SCANNED_FIRST", 0
    )  # so few that the first look would find them all
    fill(catalogue, ROWS)
    wrong = {}
    for asked in documented(catalogue.engine):
        index = asked.index
        if catalogue.engine.dialect.name == "sqlite":
            index = SQLITE_KEYS.get(index, index)
        said = plan(catalogue, first_page(catalogue.engine, asked))
        if index not in said:
            wrong[asked.typed] = said
    assert wrong == {}


@pytest.mark.parametrize("order_by", ["id", "-id"])
def test_the_first_page_of_everything_sorts_nothing(catalogue: Catalogue, order_by: str) -> None:
    said = plan(catalogue, lambda: page(catalogue.engine, Filter(), order_by=order_by)).lower()
    assert "sort" not in said
    assert "b-tree" not in said


def test_a_batch_of_a_new_crawl_is_looked_up_by_its_keys(catalogue: Catalogue) -> None:
    """The statistics know nothing of it; PostgreSQL took the index of the crawls, all of it."""
    fill(catalogue, ROWS)
    store_some(catalogue, "new")
    said = plan(catalogue, lambda: store_some(catalogue, "new"), "FROM catalogue")
    key = "uq_catalogue_crawl_path_key"
    assert SQLITE_KEYS[key] in said or key in said
    assert "ix_catalogue_crawl_id" not in said


def test_so_is_a_batch_of_a_table_that_was_never_analysed(catalogue: Catalogue) -> None:
    """Of a few thousand rows PostgreSQL may well read all; it must not where they are many."""
    waiting = [PendingRow(f"/crawl/{number:06d}.jpg") for number in range(ROWS)]
    catalogue.add_pending_chunk("new", waiting, None)
    store_some(catalogue, "new")
    said = plan(catalogue, lambda: store_some(catalogue, "new"), "FROM catalogue")
    assert "ix_catalogue_crawl_id" not in said


def store_some(catalogue: Catalogue, crawl: str) -> None:
    """Store a batch of rejected pictures."""
    outcomes = [
        Outcome(f"/{n}", "rejected", 1, 1.0, f"{n}", reason="truncated") for n in range(256)
    ]
    catalogue.store(crawl, "me", MODELS[0], outcomes)
