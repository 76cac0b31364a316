"""The documented filters use their index, on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from benchmarks.catalogue_plans import explained, first_page
from benchmarks.catalogue_reads import documented
from benchmarks.catalogue_rows import MODELS, START, fill
from db import index_pages
from db.catalogue import Catalogue
from db.queries import Filter, page
from db.records import Outcome, PendingRow
from db.session import reading
from tests.db.samples import put

ROWS = 20_000
SQLITE_KEYS = {"uq_catalogue_crawl_path_key": "sqlite_autoindex_catalogue_1"}


def plan(catalogue: Catalogue, work: Callable[[], object], part: str = "") -> str:
    """The database's plan of the last statement of `work`."""
    # without this, so small a table would be scanned
    return "\n".join(explained(catalogue.engine, work, part, "SET enable_seqscan = off"))


def test_documented_filters_use_their_index(
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
def test_first_page_without_filter_needs_no_sort(catalogue: Catalogue, order_by: str) -> None:
    said = plan(catalogue, lambda: page(catalogue.engine, Filter(), order_by=order_by)).lower()
    assert "sort" not in said
    assert "b-tree" not in said


@pytest.mark.parametrize(
    ("index", "wanted", "order_by"),
    [
        ("model_version", Filter(model_version=MODELS[0]), "-id"),
        ("confidence", Filter(), "confidence"),
        ("margin", Filter(), "margin"),
    ],
)
def test_pages_of_an_earlier_model_and_in_other_orders_use_their_index(
    catalogue: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    index: str,
    wanted: Filter,
    order_by: str,
) -> None:
    monkeypatch.setattr(index_pages, "ROWS_SCANNED_FIRST", 0)
    fill(catalogue, ROWS)
    said = plan(catalogue, lambda: page(catalogue.engine, wanted, order_by=order_by, limit=60))
    assert f"ix_catalogue_{index}" in said
    assert "sort" not in said.lower() or index == "model_version"


def test_ids_are_bounded_by_model_and_day(catalogue: Catalogue) -> None:
    """The first model labelled the first half of the rows; a day holds a few of them."""
    fill(catalogue, ROWS, rows_a_minute=1)
    with reading(catalogue.engine) as connection:
        of_model = index_pages.id_range(connection, Filter(model_version=MODELS[0]))
        day = Filter(labelled_after=START, labelled_before=START + timedelta(days=1))
        of_day = index_pages.id_range(connection, day)
        none = index_pages.id_range(connection, replace(day, model_version=MODELS[1]))
    assert of_model == index_pages.IdRange(0, ROWS // 2 + 1)
    assert of_day.below is not None
    assert of_day.below <= 24 * 60 + 1
    assert none.above is not None
    assert none.below is not None
    assert none.above >= none.below - 1
    assert page(catalogue.engine, replace(day, model_version=MODELS[1])).rows == []


def test_batch_of_a_new_crawl_is_found_by_its_keys(catalogue: Catalogue) -> None:
    """Without statistics on the crawl, PostgreSQL used to read all of it by the crawl's index."""
    fill(catalogue, ROWS)
    store_some(catalogue, "new")
    said = plan(catalogue, lambda: store_some(catalogue, "new"), "FROM catalogue")
    key = "uq_catalogue_crawl_path_key"
    assert SQLITE_KEYS[key] in said or key in said
    assert "ix_catalogue_crawl_id" not in said


def test_batch_of_a_table_without_statistics_is_found_by_its_keys(catalogue: Catalogue) -> None:
    """PostgreSQL may scan a few thousand rows, but not many."""
    waiting = [PendingRow(f"/crawl/{number:06d}.jpg") for number in range(ROWS)]
    catalogue.add_pending_chunk("new", waiting, None)
    store_some(catalogue, "new")
    said = plan(catalogue, lambda: store_some(catalogue, "new"), "FROM catalogue")
    assert "ix_catalogue_crawl_id" not in said


NUMBERS = itertools.count()


def store_some(catalogue: Catalogue, crawl: str) -> None:
    """Store a batch of rejected pictures, new ones each time."""
    outcomes = [
        Outcome(f"/{n}", "rejected", 1, 1.0, f"{n}", reason="truncated")
        for n in itertools.islice(NUMBERS, 256)
    ]
    assert put(catalogue, outcomes, MODELS[0], crawl) == len(outcomes)
