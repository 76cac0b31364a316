"""Paths into the ledger before they are published: `Catalogue.add_pending`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks
from db.records import FINAL, FileState, PendingRow
from db.session import writing
from db.tables import path_key
from db.writes import bulk, history, leases, registry
from db.writes.leases import RowState
from db.writes.row_values import text

ROWS_A_TRANSACTION = 5000
_KNOWN = ("url", "shop", "product_id")


def add(
    engine: Engine,
    table: sa.Table,
    crawl: str,
    rows: Iterable[PendingRow],
    model_version: str | None,
) -> int:
    """See `Catalogue.add_pending`. Each few thousand rows are a transaction of their own."""
    return sum(
        len(add_chunk(engine, table, crawl, chunk, model_version)) for chunk in _chunks(rows)
    )


def add_chunk(
    engine: Engine,
    table: sa.Table,
    crawl: str,
    rows: Sequence[PendingRow],
    model_version: str | None,
) -> list[str]:
    """Write some thousand rows in one transaction; the paths that are to be worked, in order."""
    wanted = {path_key(row.path): row for row in rows}
    with writing(engine) as connection:
        work = _add_chunk(connection, table, crawl, wanted, model_version)
    return [row.path for key, row in wanted.items() if key in work]


def _chunks(rows: Iterable[PendingRow]) -> Iterator[list[PendingRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS_A_TRANSACTION)):
        yield chunk


def _add_chunk(
    connection: Connection,
    table: sa.Table,
    crawl: str,
    wanted: dict[bytes, PendingRow],
    model_version: str | None,
) -> set[bytes]:
    now = clocks.now(connection)
    registry.ensure_crawl(connection, crawl, now)
    found = leases.states(connection, table, crawl, wanted)
    fresh = [
        {
            "crawl": crawl,
            "path": text(row.path, "path"),
            "path_key": key,
            "url": text(row.url, f"{row.path}: url"),
            "shop": text(row.shop, f"{row.path}: shop"),
            "product_id": text(row.product_id, f"{row.path}: product_id"),
            "size": row.size,
            "mtime": row.mtime,
            "model_version": model_version,
            "status": "pending",
            "created_at": now,
            "updated_at": now,
        }
        for key, row in sorted(wanted.items())
        if key not in found
    ]
    bulk.insert(connection, table, fresh)
    stale = [row for key, row in found.items() if _stale(row, wanted[key], model_version)]
    history.reopen(connection, table, stale, now)
    waiting = stale + [row for row in found.values() if row.status == "pending"]
    _refresh(connection, table, waiting, wanted, model_version)
    _describe(connection, table, found, wanted)
    return {key for key in wanted if key not in found} | {row.path_key for row in waiting}


def _stale(row: RowState, seen: PendingRow, model_version: str | None) -> bool:
    """Whether a finished row is to be worked again."""
    if row.status not in FINAL:
        return False
    if row.status == "cancelled" or leases.changed(
        row, FileState(seen.path, seen.size, seen.mtime)
    ):
        return True
    other_model = model_version is not None and row.model_version != model_version
    return other_model and row.status != "quarantined"


def _refresh(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[RowState],
    wanted: dict[bytes, PendingRow],
    model_version: str | None,
) -> None:
    """Note which file and which model the waiting rows wait for, where that is new."""
    values: list[dict[str, Any]] = []
    for row in rows:
        seen = wanted[row.path_key]
        size = row.size if seen.size is None else seen.size
        mtime = row.mtime if seen.mtime is None else seen.mtime
        model = model_version or row.model_version
        # a reopened row has lost its model version, so it is always written
        if row.status in FINAL or (size, mtime, model) != (row.size, row.mtime, row.model_version):
            values.append({"id": row.id, "size": size, "mtime": mtime, "model_version": model})
    bulk.update(connection, table, values)


def _describe(
    connection: Connection,
    table: sa.Table,
    found: dict[bytes, RowState],
    wanted: dict[bytes, PendingRow],
) -> None:
    """Take over url, shop and product where the crawl tells them; what it leaves out stays."""
    for name in _KNOWN:
        told = [
            {"id": row.id, name: text(getattr(wanted[key], name), f"{wanted[key].path}: {name}")}
            for key, row in found.items()
            if getattr(wanted[key], name) is not None
        ]
        bulk.update(connection, table, told)
