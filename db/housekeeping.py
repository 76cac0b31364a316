"""Taking rows out: forget (for good, with a record that it happened), archive, vacuum."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks, ledger
from db.errors import ExportError, InvalidRecord, mapped
from db.exports import text as text_exports
from db.filters import Filter
from db.session import reading, shown, writing
from db.tables import catalogue, crawls, forgotten, path_key, relabels
from db.writes import counters
from db.writes.row_values import text

KINDS = ("crawl", "path", "hash")


@dataclass(frozen=True)
class Archived:
    """A crawl that lies in a file now, and no more in the catalogue."""

    crawl: str
    exported: text_exports.Exported


def forget(engine: Engine, kind: str, value: str, *, by: str, note: str | None = None) -> int:
    """Remove a crawl, a path (in every crawl) or all rows with a content hash; how many rows.

    Labels, history and corrections go with the rows, and their bytes are overwritten (SQLite) or
    vacuumed away (PostgreSQL). The log `forgotten` keeps when, who, what kind, how many and a
    digest of what was asked for, from which it cannot be read back. Backups are yours to see to.
    """
    if kind not in KINDS or not by.strip():
        raise InvalidRecord(f"expected one of {', '.join(KINDS)} and a name, received {kind!r}")
    with writing(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        rows = _delete(connection, kind, value)
        connection.execute(
            sa.insert(forgotten).values(
                forgotten_at=clocks.now(connection),
                forgotten_by=text(by, "by"),
                kind=kind,
                digest=hashlib.blake2b(value.encode(), digest_size=16).hexdigest(),
                rows=rows,
                note=text(note, "note"),
            )
        )
    _scrub(engine)
    return rows


def _delete(connection: Connection, kind: str, value: str) -> int:
    rows = 0
    for table in (relabels, catalogue):
        where = {
            "crawl": table.c.crawl == value,
            "path": table.c.path_key == path_key(value),
            "hash": table.c.content_hash == value,
        }[kind]
        if kind == "path":
            where = sa.and_(where, table.c.crawl.in_(sa.select(crawls.c.name)))
        rows = connection.execute(sa.delete(table).where(where)).rowcount
    if kind == "crawl":
        connection.execute(sa.delete(crawls).where(crawls.c.name == value))
        counters.tidy(connection)  # the counters name crawls and shops too
    return rows


def archive(engine: Engine, crawl: str, target: Path) -> Archived:
    """Write a crawl to a JSON lines file, then take its rows out of the catalogue.

    `import` brings them back. The rows go only if they are as many as the file holds and none is
    waiting or leased; labels that were replaced before (history) are not in the file.
    """
    ledger.require_crawl(engine, crawl)
    with reading(engine) as connection:
        before = _standing(connection, crawl)
    done = text_exports.export_text(engine, Filter(crawl=crawl), target, "jsonl")
    mine = catalogue.c.crawl == crawl
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # nobody writes between the look and the delete
            connection.execute(sa.text("LOCK TABLE catalogue IN SHARE ROW EXCLUSIVE MODE"))
        now = _standing(connection, crawl)
        if now != before or now[1] or now[0] != done.rows:
            raise ExportError(
                f"crawl {crawl!r} is being worked on ({now[0]} rows, {done.rows} in {target}, "
                f"{now[1]} pending): let it end, or cancel it, and archive it then"
            )
        connection.execute(sa.delete(relabels).where(relabels.c.crawl == crawl))
        connection.execute(sa.delete(catalogue).where(mine))
        connection.execute(
            sa.update(crawls)
            .where(crawls.c.name == crawl)
            .values(archived_at=clocks.now(connection), note=f"{target} sha256 {done.sha256}")
        )
    return Archived(crawl, done)


def _standing(connection: Connection, crawl: str) -> tuple[int, int, datetime | None]:
    """(rows, those pending, when one was last changed): what must not move during an archive."""
    query = sa.select(
        sa.func.count(),
        sa.func.count().filter(catalogue.c.status == "pending"),
        sa.func.max(catalogue.c.updated_at),
    )
    rows, pending, last = connection.execute(query.where(catalogue.c.crawl == crawl)).one()
    return int(rows), int(pending), last


def vacuum(engine: Engine) -> None:
    """Give space back and renew the planner's statistics; add the counters up."""
    with writing(engine) as connection:
        counters.tidy(connection)
    with mapped(shown(engine)), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            raw = connection.connection.driver_connection
            for statement in ("VACUUM", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"):
                raw.execute(statement).fetchall()  # type: ignore[union-attr]
            return
        outside = connection.execution_options(isolation_level="AUTOCOMMIT")
        outside.execute(sa.text("VACUUM (ANALYZE)"))


def _scrub(engine: Engine) -> None:
    """What was deleted still lies in the log (SQLite) or as dead rows (PostgreSQL)."""
    with mapped(shown(engine)), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            raw = connection.connection.driver_connection
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # type: ignore[union-attr]
            return
        outside = connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in ("catalogue", "relabels", "label_history", "corrections"):
            outside.execute(sa.text(f"VACUUM {table}"))
