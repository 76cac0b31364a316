"""Removing rows: forget (delete for good, on record), archive, and vacuum."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks, ledger
from db.errors import ExportError, InvalidRecord, mapped
from db.exports.files import Exported, require_file_name
from db.exports.text import drop_text, finish_text, unfinished_text
from db.features import remove_orphans
from db.filters import Filter
from db.session import reading, shown, writing
from db.tables import (
    catalogue,
    catalogue_count_changes,
    catalogue_counts,
    corrections,
    crawls,
    forgotten,
    label_history,
    path_key,
    relabels,
)
from db.writes import counters
from db.writes.row_values import checked_text
from db.writes.withheld import digest
from rendering.output import file_behind, partial_path

KINDS = ("crawl", "path", "hash")
TABLES = (relabels, catalogue)  # the rows of the second are counted
LOG_PATIENCE_SECONDS = 5.0  # for readers that end soon; others may read for hours


@dataclass(frozen=True)
class Forgotten:
    """The number of deleted rows, and whether their bytes are still there, in words."""

    rows: int
    remains: str | None


def forget(engine: Engine, kind: str, value: str, *, by: str, note: str | None = None) -> Forgotten:
    """Delete a crawl, a path (in every crawl) or all rows with a content hash, for good.

    Labels, history, corrections and vectors go with the rows, and their bytes are overwritten
    (SQLite) or vacuumed (PostgreSQL). The table `forgotten` records when, who, what kind and how
    many rows, and a digest of `value`, from which it cannot be read back. Backups are not touched.

    A reader can keep the bytes of deleted rows in place: the result says so.
    """
    if kind not in KINDS or not by.strip():
        raise InvalidRecord(f"expected one of {', '.join(KINDS)} and a name, received {kind!r}")
    transaction: str | None = None
    with writing(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        else:  # no claim adds a row between the deletion and its record
            connection.execute(sa.text("LOCK TABLE catalogue, relabels IN EXCLUSIVE MODE"))
            number = sa.text("SELECT pg_current_xact_id()::xid::text")
            transaction = str(connection.execute(number).scalar_one())
        deleted = _delete(connection, kind, value)
        rows = deleted["catalogue"]
        deleted["features"] = remove_orphans(connection)
        connection.execute(
            sa.insert(forgotten).values(
                forgotten_at=clocks.now(connection),
                forgotten_by=checked_text(by, "by"),
                kind=kind,
                digest=digest(value),
                rows=rows,
                note=checked_text(note, "note"),
            )
        )
    # deleted rows remain in the log (SQLite) or as dead rows (PostgreSQL) until now
    if transaction is None:
        return Forgotten(rows, _empty_log(engine))
    _maintain(engine, [f"VACUUM {table}" for table, number in deleted.items() if number])
    return Forgotten(rows, _dead_rows_kept(engine, transaction))


def require_seen(engine: Engine, kind: str, value: str) -> None:
    """Raise unless the catalogue has or had what `forget` is to delete.

    Raises:
        InvalidRecord: no row has this crawl, path or hash, and none was forgotten.
    """
    with reading(engine) as connection:
        queries: list[sa.Select[Any]] = [
            sa.select(table.c.id).where(_chosen(table, kind, value)) for table in TABLES
        ]
        queries.append(
            sa.select(forgotten.c.id).where(
                forgotten.c.kind == kind, forgotten.c.digest == digest(value)
            )
        )
        if kind == "crawl":
            queries.append(sa.select(crawls.c.name).where(crawls.c.name == value))
        if any(connection.execute(query.limit(1)).first() is not None for query in queries):
            return
    if kind == "crawl":
        ledger.require_crawl(engine, value)
    raise InvalidRecord(
        f"the catalogue never had the {kind} {value!r}: give it as 'query' prints it"
    )


def _empty_log(engine: Engine) -> str | None:
    """Empty SQLite's write-ahead log; what remains in it, in words, if a reader prevents that."""
    with mapped(shown(engine)), engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        (patience,) = raw.execute("PRAGMA busy_timeout").fetchone()
        raw.execute(f"PRAGMA busy_timeout = {int(LOG_PATIENCE_SECONDS * 1000)}")
        try:
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            raw.execute(f"PRAGMA busy_timeout = {patience}")
    if not busy:
        return None
    return (
        f"another process is reading the catalogue: deleted rows are still in its log, "
        f"{engine.url.database}-wal. They go when the last process that has the catalogue open "
        "ends; or run 'fashion-cascade vacuum' when nobody reads"
    )


def _dead_rows_kept(engine: Engine, transaction: str) -> str | None:
    """Who keeps rows that this transaction deleted from PostgreSQL's VACUUM, in words."""
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'"
        " AND age(backend_xmin) >= age(CAST(:transaction AS xid))"
    )
    with reading(engine) as connection:
        number = connection.execute(query, {"transaction": transaction}).scalar_one()
    if not number:
        return None
    return (
        f"{number} open transactions of other sessions can still read the deleted rows: they stay "
        "in the table's files until those end; then run 'fashion-cascade vacuum'"
    )


def _delete(connection: Connection, kind: str, value: str) -> dict[str, int]:
    """Delete the rows and all that belongs to them.

    Returns the number of deleted rows by table; of the counters, of what they counted.
    """
    ids = sa.select(catalogue.c.id).where(_chosen(catalogue, kind, value))
    deleted = {}
    for table in (label_history, corrections):  # before the rows: their ids would be unknown
        statement = sa.delete(table).where(table.c.catalogue_id.in_(ids))
        deleted[table.name] = connection.execute(statement).rowcount
    for table in TABLES:
        statement = sa.delete(table).where(_chosen(table, kind, value))
        deleted[table.name] = connection.execute(statement).rowcount
    if kind == "crawl":
        statement = sa.delete(crawls).where(crawls.c.name == value)
        deleted["crawls"] = connection.execute(statement).rowcount
        counters.compact(connection)  # the counters contain crawl and shop names
        for table in (catalogue_counts, catalogue_count_changes):
            deleted[table.name] = deleted["crawls"] + deleted["catalogue"]
    return deleted


def _chosen(table: sa.Table, kind: str, value: str) -> sa.ColumnElement[bool]:
    """The rows of a crawl, a path (in every crawl) or a content hash."""
    if kind == "crawl":
        return table.c.crawl == value
    if kind == "hash":
        return table.c.content_hash == value
    return sa.and_(table.c.path_key == path_key(value), table.c.crawl.in_(sa.select(crawls.c.name)))


def archive(engine: Engine, crawl: str, target: Path) -> Exported:
    """Export a crawl to a JSON lines file, then delete its rows from the catalogue.

    `import` brings them back, without the history of replaced labels.

    Raises:
        ExportError: the crawl has no rows, rows are pending or were changed during the export,
            `target` is no file, or it exists with another content. Nothing is deleted or replaced.
    """
    # what goes into a pipe may never arrive, and the rows are deleted
    require_file_name(target, "an archive")
    ledger.require_crawl(engine, crawl)
    with reading(engine) as connection:
        before = _fingerprint(connection, crawl)
        if before[0] == 0:
            raise ExportError(_nothing_to_archive(connection, crawl))
    # never resumed: rows may have changed after an interrupted archive wrote them
    unfinished = unfinished_text(engine, Filter(crawl=crawl), target, "jsonl", resume=False)
    with unfinished as rows_written, writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # no writes between the check and the delete
            connection.execute(sa.text("LOCK TABLE catalogue IN SHARE ROW EXCLUSIVE MODE"))
        after = _fingerprint(connection, crawl)
        rows, pending, _ = after
        if after != before or pending or rows != rows_written:
            drop_text(target)
            raise ExportError(
                f"crawl {crawl!r} is being worked on ({rows} rows, {rows_written} written, "
                f"{pending} pending): wait for its end, or cancel it, then archive it"
            )
        # inside the transaction: the file is complete and has its name before the rows go
        _require_new_content(target)
        done = finish_text(target, rows_written)
        for table in (relabels, catalogue):
            connection.execute(sa.delete(table).where(table.c.crawl == crawl))
        connection.execute(
            sa.update(crawls)
            .where(crawls.c.name == crawl)
            .values(archived_at=clocks.now(connection), note=f"{target} sha256 {done.sha256}")
        )
    return done


def _nothing_to_archive(connection: Connection, crawl: str) -> str:
    query = sa.select(crawls.c.archived_at, crawls.c.note).where(crawls.c.name == crawl)
    archived_at, note = connection.execute(query).one()
    if archived_at is None:
        return f"crawl {crawl!r} has no rows: there is nothing to archive"
    return f"crawl {crawl!r} was archived at {archived_at:%Y-%m-%d %H:%M} UTC: {note}"


def _require_new_content(target: Path) -> None:
    """Raise ExportError if another content would be replaced: it may be the only copy.

    The same content is there if a previous archive wrote the file, and could not delete the rows.
    """
    real, partial = file_behind(target), partial_path(target)
    if real.exists() and not filecmp.cmp(real, partial, shallow=False):
        drop_text(target)
        raise ExportError(
            f"{target} exists and has another content, perhaps an earlier archive: "
            "archive to another name; nothing was deleted"
        )


def _fingerprint(connection: Connection, crawl: str) -> tuple[int, int, datetime | None]:
    """(rows, pending rows, last change): must stay the same during an archive."""
    query = sa.select(
        sa.func.count(),
        sa.func.count().filter(catalogue.c.status == "pending"),
        sa.func.max(catalogue.c.updated_at),
    )
    rows, pending, last = connection.execute(query.where(catalogue.c.crawl == crawl)).one()
    return int(rows), int(pending), last


def vacuum(engine: Engine) -> str | None:
    """Free unused space, renew the planner's statistics and merge the counters.

    Vectors of pictures that have no row any more are deleted first.

    Returns:
        What could not be freed because others read the catalogue, in words.
    """
    with writing(engine) as connection:
        counters.compact(connection)
        remove_orphans(connection)
    if engine.dialect.name == "sqlite":
        _maintain(engine, ["VACUUM", "ANALYZE"])
        return _empty_log(engine)
    _maintain(engine, ["VACUUM (ANALYZE)"])
    return None


def _maintain(engine: Engine, statements: Sequence[str]) -> None:
    """Run statements that cannot run inside a transaction."""
    with mapped(shown(engine)), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            raw: Any = connection.connection.driver_connection
            for statement in statements:
                raw.execute(statement).fetchall()
            return
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            autocommit.execute(sa.text(statement))
