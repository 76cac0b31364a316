"""Pending rows, written before their paths are published: `Catalogue.add_pending`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks
from db.chunks import chunks
from db.records import FINAL_STATUSES, NOT_DOWNLOADED, RETRIED_REASONS, FileState, PendingRow
from db.session import writing
from db.tables import path_key
from db.writes import bulk, history, leases, registry
from db.writes.leases import RowState
from db.writes.row_values import NO_LEASE, checked_text, pending_values

ROWS_PER_TRANSACTION = 5000
_DESCRIPTION = ("url", "shop", "product_id")


def add(
    engine: Engine,
    table: sa.Table,
    crawl: str,
    rows: Iterable[PendingRow],
    model_version: str | None,
) -> int:
    """See `Catalogue.add_pending`. Each chunk of rows is a transaction."""
    return sum(
        len(add_chunk(engine, table, crawl, chunk, model_version))
        for chunk in chunks(rows, ROWS_PER_TRANSACTION)
    )


def add_chunk(
    engine: Engine,
    table: sa.Table,
    crawl: str,
    rows: Sequence[PendingRow],
    model_version: str | None,
) -> list[str]:
    """Write some thousand rows in one transaction; return the paths to be worked, in order."""
    wanted = {path_key(row.path): row for row in rows}
    with writing(engine) as connection:
        pending = _add_chunk(connection, table, crawl, wanted, model_version)
    return [row.path for key, row in wanted.items() if key in pending]


def _add_chunk(
    connection: Connection,
    table: sa.Table,
    crawl: str,
    wanted: dict[bytes, PendingRow],
    model_version: str | None,
) -> set[bytes]:
    """Add or update the rows; return the keys of those that are pending now."""
    now = clocks.now(connection)
    registry.ensure_crawl(connection, crawl, now)
    found = leases.locked_rows(connection, table, crawl, wanted)
    new = [
        pending_values(crawl, row, model_version, now)
        | {name: _description(row, name) for name in _DESCRIPTION}
        for key, row in sorted(wanted.items())
        if key not in found
    ]
    bulk.insert(connection, table, new)
    outdated = [row for key, row in found.items() if _outdated(row, wanted[key], model_version)]
    history.reopen(connection, table, outdated, now)
    pending = outdated + [row for row in found.values() if row.status == "pending"]
    _update_file_and_model(connection, table, pending, wanted, model_version)
    _update_descriptions(connection, table, found, wanted)
    return {key for key in wanted if key not in found} | {row.path_key for row in pending}


def _description(row: PendingRow, name: str) -> str | None:
    return checked_text(getattr(row, name), f"{row.path}: {name}")


def _outdated(row: RowState, seen: PendingRow, model_version: str | None) -> bool:
    """Whether a finished row must be worked again."""
    if row.status not in FINAL_STATUSES:
        return False
    file = FileState(seen.path, seen.size, seen.mtime)
    if row.status == "cancelled" or leases.file_changed(row, file):
        return True
    if row.reason in RETRIED_REASONS:
        return True
    if row.reason == NOT_DOWNLOADED and seen.failure is None and seen.size is not None:
        return True
    other_model = model_version is not None and row.model_version != model_version
    return other_model and row.status != "quarantined"


def _update_file_and_model(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[RowState],
    wanted: dict[bytes, PendingRow],
    model_version: str | None,
) -> None:
    """Write size, mtime and model version of pending rows where they are new.

    That is a new request. It raises the generation and ends the lease of a worker that is at the
    earlier one, so that the result of that one is not taken for this one's.
    """
    values: list[dict[str, Any]] = []
    for row in rows:
        seen = wanted[row.path_key]
        size = row.size if seen.size is None else seen.size
        mtime = row.mtime if seen.mtime is None else seen.mtime
        model = model_version or row.model_version
        changed = (size, mtime, model) != (row.size, row.mtime, row.model_version)
        # a reopened row has lost its model version, so it is always written
        if row.status in FINAL_STATUSES or changed:
            file = {"id": row.id, "size": size, "mtime": mtime, "model_version": model}
            values.append({**file, **NO_LEASE, "generation": row.generation + 1})
    bulk.update(connection, table, values)


def _update_descriptions(
    connection: Connection,
    table: sa.Table,
    found: dict[bytes, RowState],
    wanted: dict[bytes, PendingRow],
) -> None:
    """Write url, shop and product where the crawl gives them; other values stay."""
    for name in _DESCRIPTION:
        values = [
            {"id": row.id, name: _description(wanted[key], name)}
            for key, row in found.items()
            if getattr(wanted[key], name) is not None
        ]
        bulk.update(connection, table, values)
