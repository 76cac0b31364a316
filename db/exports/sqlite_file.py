"""Exports as a SQLite file with one table, for Datasette or the sqlite3 shell."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy.engine import Engine

from db.exports.files import (
    COLUMNS,
    EVERYTHING,
    FINAL_LABEL,
    Exported,
    Layout,
    batches,
    finish_file,
    require_file_name,
)
from db.exports.text_encoding import plain
from db.filters import Filter
from db.tables import CONFIDENCES
from rendering.output import partial_path

COLUMN_TYPES = {
    **dict.fromkeys(COLUMNS, "TEXT"),
    **dict.fromkeys((*CONFIDENCES, "mtime"), "REAL"),
    "id": "INTEGER PRIMARY KEY",
    "size": "INTEGER",
    "needs_review": "INTEGER",
}


def export_sqlite(
    engine: Engine, wanted: Filter, target: Path, layout: Layout = EVERYTHING
) -> Exported:
    """Write the matching rows into the table `catalogue` of a new SQLite file."""
    require_file_name(target, "a SQLite file")
    partial = partial_path(target)
    partial.unlink(missing_ok=True)
    definitions = ", ".join(f"{name} {COLUMN_TYPES[name]}" for name in layout.columns)
    marks = ", ".join("?" * len(layout.columns))
    connection, rows = sqlite3.connect(partial), 0
    try:
        # an interrupted export starts over: it needs no journal and must not leave one behind
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"CREATE TABLE catalogue ({definitions})")
        for batch in batches(engine, wanted, layout=layout):
            connection.executemany(
                f"INSERT INTO catalogue VALUES ({marks})",  # noqa: S608 - only question marks
                [[plain(value) for value in row] for row in batch],
            )
            rows += len(batch)
        if label := next((name for name in (FINAL_LABEL, "label") if name in layout.columns), None):
            connection.execute(f"CREATE INDEX by_label ON catalogue ({label})")
        connection.commit()
    except BaseException:
        connection.close()
        partial.unlink()  # of no use, and it may have filled the disk
        raise
    connection.close()
    return finish_file(target, rows)
