"""Pictures that must not come back by themselves: what was forgotten, and archived crawls.

The table `forgotten` keeps digests only. A crawl counts as brought back once it has rows again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.chunks import chunks
from db.tables import catalogue, crawls, forgotten
from db.writes import bulk
from db.writes.leases import RowState


def digest(value: str) -> str:
    """What `forgotten` keeps of a crawl, a path or a content hash; of a path, its `path_key`."""
    text = value.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def withheld(connection: Connection, crawl: str, keys: Sequence[bytes]) -> set[bytes]:
    """Those of `keys`, which have no row, that only a person may add again."""
    if _crawl_is_withheld(connection, crawl):
        return set(keys)
    return {bytes.fromhex(known) for known in _known(connection, "path", (k.hex() for k in keys))}


def forgotten_hashes(connection: Connection, hashes: Iterable[str]) -> set[str]:
    """Those of the content hashes that were forgotten."""
    wanted = {digest(value): value for value in hashes}
    return {wanted[known] for known in _known(connection, "hash", wanted)}


def without_forgotten(
    connection: Connection,
    table: sa.Table,
    found: Mapping[bytes, RowState],
    rows: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """`rows`, the results of a batch, without forgotten bytes, whose pending rows are deleted.

    A row that had the same bytes before was brought back by a person, and stays.
    """
    hashes = {row["content_hash"] for row in rows if row["content_hash"] is not None}
    forgotten_now = forgotten_hashes(connection, hashes)
    refused = {
        key
        for row in rows
        if row["content_hash"] in forgotten_now
        and found[key := row["path_key"]].content_hash != row["content_hash"]
    }
    if refused:
        ids = [found[key].id for key in refused]
        connection.execute(sa.delete(table).where(table.c.id.in_(ids)))
    return [row for row in rows if row["path_key"] not in refused]


def _crawl_is_withheld(connection: Connection, crawl: str) -> bool:
    archived = sa.select(crawls.c.archived_at).where(crawls.c.name == crawl)
    found = connection.execute(archived).first()
    if found is None:
        return bool(_known(connection, "crawl", [digest(crawl)]))
    if found.archived_at is None:
        return False
    rows = sa.select(catalogue.c.id).where(catalogue.c.crawl == crawl).limit(1)
    return connection.execute(rows).first() is None


def _known(connection: Connection, kind: str, digests: Iterable[str]) -> set[str]:
    """Those of `digests` that are recorded as forgotten."""
    found: set[str] = set()
    if connection.execute(
        sa.select(forgotten.c.id).where(forgotten.c.kind == kind).limit(1)
    ).first():
        for chunk in chunks(digests, bulk.KEYS_PER_STATEMENT):
            query = sa.select(forgotten.c.digest)
            query = query.where(forgotten.c.kind == kind, forgotten.c.digest.in_(chunk))
            found.update(connection.execute(query).scalars())
    return found
