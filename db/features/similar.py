"""Rows of the catalogue that look like a picture, and groups of rows that look alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db.chunks import chunks
from db.features.index import VectorIndex
from db.filters import Filter, conditions
from db.records import Row
from db.session import reading
from db.tables import catalogue, features
from db.writes.bulk import KEYS_PER_STATEMENT
from db.writes.row_values import ROW_NAMES

if TYPE_CHECKING:
    import numpy as np

FIRST_LOOK = 4  # candidates for each wanted row; doubled until enough of them match


def similar(
    engine: Engine,
    index: VectorIndex,
    vector: np.ndarray,
    wanted: Filter,
    *,
    limit: int,
    without: str | None = None,
    seconds: float | None = None,
) -> list[tuple[Row, float]]:
    """The matching rows most like a picture, with their cosines, the most alike first.

    Args:
        engine: The catalogue.
        index: All vectors of one digest.
        vector: ``(D,)`` int8, of the same digest.
        wanted: Which rows.
        limit: At most this many rows. Rows with the same bytes count each.
        without: A content hash whose rows are left out: those of the picture itself.
        seconds: The time limit of the queries.
    """
    count = FIRST_LOOK * limit
    while True:
        ids, cosines = index.nearest(vector, count)
        alike = dict(zip(ids.tolist(), cosines.tolist(), strict=True))
        found = [
            (row, alike[number])
            for number, row in rows_of(engine, list(alike), wanted, seconds=seconds)
            if row.content_hash != without
        ]
        if len(found) >= limit or count >= len(index):
            found.sort(key=lambda each: (-each[1], each[0].id))
            return found[:limit]
        count *= 8


def rows_of(
    engine: Engine, ids: Sequence[int], wanted: Filter, *, seconds: float | None = None
) -> list[tuple[int, Row]]:
    """The matching rows of these ids of the table ``features``, each with its id."""
    found: list[tuple[int, Row]] = []
    columns = [catalogue.c[name] for name in ROW_NAMES]
    with reading(engine, seconds=seconds) as connection:
        matching: list[Any] = list(conditions(connection, wanted))
        joined = catalogue.join(features, features.c.content_hash == catalogue.c.content_hash)
        for chunk in chunks(ids, KEYS_PER_STATEMENT):
            query = sa.select(features.c.id, *columns).select_from(joined)
            query = query.where(features.c.id.in_(chunk), *matching)
            found += [(values[0], Row(*values[1:])) for values in connection.execute(query)]
    return found


def missing(engine: Engine, digest: str, wanted: Filter) -> int:
    """How many matching rows with a label have no vector of this digest."""
    with reading(engine) as connection:
        query = sa.select(sa.func.count()).select_from(catalogue)
        query = query.where(*conditions(connection, wanted), *_without(digest))
        return int(connection.execute(query).scalar_one())


def rows_without(engine: Engine, digest: str, wanted: Filter) -> Iterator[Row]:
    """The matching rows with a label and without a vector of this digest, from one snapshot."""
    with reading(engine) as connection:
        query = sa.select(*(catalogue.c[name] for name in ROW_NAMES)).order_by(catalogue.c.id)
        query = query.where(*conditions(connection, wanted), *_without(digest))
        with connection.execution_options(yield_per=1000).execute(query) as result:
            for values in result:
                yield Row(*values)


def _without(digest: str) -> list[Any]:
    known = sa.exists().where(
        features.c.content_hash == catalogue.c.content_hash, features.c.digest == digest
    )
    return [catalogue.c.status == "labelled", catalogue.c.content_hash.isnot(None), ~known]


def groups_alike(
    engine: Engine, index: VectorIndex, wanted: Filter, *, least: float
) -> Iterator[list[Row]]:
    """Groups of two or more pictures of matching rows, linked by cosines of at least ``least``.

    Rows with the same bytes are one picture: they make no group, but are all in the group of
    others that look like them. A group is in order of id.
    """
    places_of: dict[int, list[int]] = {}
    for place, first in enumerate(index.groups(least)):
        places_of.setdefault(first, []).append(place)
    several = [places for places in places_of.values() if len(places) > 1]
    for part in chunks(several, 500):
        ids = [int(index.ids[place]) for places in part for place in places]
        by_id: dict[int, list[Row]] = {}
        for number, row in rows_of(engine, ids, wanted):
            by_id.setdefault(number, []).append(row)
        for places in part:
            present = [by_id[number] for p in places if (number := int(index.ids[p])) in by_id]
            if len(present) > 1:
                yield sorted((row for rows in present for row in rows), key=lambda row: row.id)
