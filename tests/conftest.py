"""Fixtures for all rooms: a catalogue on each database, real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.catalogue import Catalogue
from tests.bundles import adaptable_bundle, quick_bundle, small_bundle
from tests.programs import hide_require_all
from tests.servers import PostgresServer, postgres_server

__all__ = [
    "adaptable_bundle",
    "quick_bundle",
    "small_bundle",
]  # fixtures, defined beside their settings

hide_require_all()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run; each test makes databases in it."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, on either database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_url()


@pytest.fixture
def catalogue(catalogue_url: str) -> Iterator[Catalogue]:
    """An empty catalogue with the current schema, on either database in turn."""
    opened = Catalogue.open(catalogue_url)
    yield opened
    opened.close()
