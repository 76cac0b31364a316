"""Writes, reads and removes vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.chunks import chunks
from db.records import Vector
from db.session import reading, writing
from db.tables import catalogue, features, relabels
from db.writes import bulk


def write(connection: Connection, vectors: Mapping[str, Vector]) -> None:
    """Add vectors by content hash; those that are there stay. Inside a transaction that writes."""
    rows = [
        {"content_hash": content_hash, "digest": vector.digest, "vector": vector.values}
        for content_hash, vector in sorted(vectors.items())
    ]
    bulk.insert(connection, features, rows)


def add(engine: Engine, vectors: Mapping[str, Vector]) -> None:
    """Add vectors by content hash, of pictures that still have a row; those that are there stay."""
    if not vectors:
        return
    with writing(engine) as connection:
        known: set[str] = set()
        for chunk in chunks(sorted(vectors), bulk.KEYS_PER_STATEMENT):
            for table in (catalogue, relabels):
                query = sa.select(table.c.content_hash).where(table.c.content_hash.in_(chunk))
                known.update(connection.execute(query.distinct()).scalars())
        write(connection, {name: vectors[name] for name in known})


def stored(engine: Engine, digest: str, hashes: Iterable[str]) -> dict[str, bytes]:
    """The vectors of this digest by content hash, of those hashes that have one."""
    found: dict[str, bytes] = {}
    with reading(engine) as connection:
        for chunk in chunks(sorted(set(hashes)), bulk.KEYS_PER_STATEMENT):
            query = sa.select(features.c.content_hash, features.c.vector)
            query = query.where(features.c.digest == digest, features.c.content_hash.in_(chunk))
            found.update((name, bytes(vector)) for name, vector in connection.execute(query))
    return found


def without_vector(connection: Connection, digest: str, hashes: Sequence[str]) -> set[str]:
    """Those of the content hashes that have no vector of this digest."""
    query = sa.select(features.c.content_hash)
    query = query.where(features.c.digest == digest, features.c.content_hash.in_(hashes))
    return set(hashes) - set(connection.execute(query).scalars())


def digests_of(engine: Engine, content_hash: str) -> list[str]:
    """The digests of a picture's vectors, the last added first."""
    query = sa.select(features.c.digest).where(features.c.content_hash == content_hash)
    with reading(engine) as connection:
        return list(connection.execute(query.order_by(features.c.id.desc())).scalars())


def remove_orphans(connection: Connection) -> int:
    """Delete the vectors of bytes that no row has any more; return how many."""
    gone = [
        ~sa.exists().where(table.c.content_hash == features.c.content_hash)
        for table in (catalogue, relabels)
    ]
    return connection.execute(sa.delete(features).where(*gone)).rowcount
