"""Small reads that the page needs beside `db.browsing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from db.browsing import QUERY_SECONDS
from db.session import reading
from db.tables import catalogue

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def path_of(engine: Engine, row_id: int) -> str | None:
    """The path of a row; None: no such row."""
    with reading(engine, seconds=QUERY_SECONDS) as connection:
        query = sa.select(catalogue.c.path).where(catalogue.c.id == row_id)
        return connection.execute(query).scalar_one_or_none()
