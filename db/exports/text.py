"""Getting the catalogue out: CSV, JSON lines, Parquet, a SQLite file.

See also ``db/exports/folders.py``.

Everything is written under a temporary name beside its target and renamed when it is whole. CSV
and JSON lines go on where a killed export stopped (``TARGET.partial`` and its ``.json``); the
others begin again. A ``TARGET.sha256`` that ``sha256sum -c`` reads is written at the end.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db.errors import ExportError
from db.exports.text_encoding import json_line, plain, to_cell
from db.filters import Filter, conditions
from db.index_pages import span_of
from db.session import reading
from db.tables import catalogue, effective_label
from db.writes.row_values import ROW_NAMES

FINAL_LABEL = "final_label"  # what counts: a person's label, or else the model's
COLUMNS = (*ROW_NAMES, FINAL_LABEL)
ROWS_A_FETCH = 5000
ROWS_A_CHECKPOINT = 50_000
FORMATS = ("csv", "jsonl", "parquet", "sqlite", "tree")


@dataclass(frozen=True)
class Exported:
    """What an export wrote: how many rows, and the checksum of the file (or of all its files)."""

    target: str
    rows: int
    sha256: str


@dataclass
class _State:
    """How far a text export has come; kept beside it after each checkpoint."""

    asked: str
    last_id: int = 0
    rows: int = 0
    offset: int = 0


def columns() -> list[sa.ColumnElement[Any]]:
    """The exported columns, in the order of `COLUMNS`."""
    return [*(catalogue.c[name] for name in ROW_NAMES), effective_label.label(FINAL_LABEL)]


def question(connection: Connection, wanted: Filter, after: int = 0) -> sa.Select[Any]:
    """The exported columns of the rows that fit and come after the id `after`, in order of id."""
    span = span_of(connection, wanted).beyond(after, down=False)
    rows = sa.select(*columns()).where(*conditions(connection, wanted), *span.conditions())
    return rows.order_by(catalogue.c.id)


def batches(engine: Engine, wanted: Filter, after: int = 0) -> Iterator[Sequence[Sequence[Any]]]:
    """The answer to `question`, some thousand rows at a time, out of one snapshot."""
    with reading(engine) as connection:
        streamed = connection.execution_options(yield_per=ROWS_A_FETCH)
        with streamed.execute(question(connection, wanted, after)) as result:
            yield from result.partitions()


def export_text(engine: Engine, wanted: Filter, target: Path, form: str) -> Exported:
    """Write `form` 'csv' or 'jsonl'; goes on where an export of the same question stopped."""
    partial, notes = Path(f"{target}.partial"), Path(f"{target}.partial.json")
    asked = json.dumps([form, {n: plain(v) for n, v in asdict(wanted).items()}])
    state = _resumed(partial, notes, asked, target)
    with partial.open("r+b" if partial.exists() else "w+b") as binary:
        binary.truncate(state.offset)
        binary.seek(state.offset)
        write = _row_writer(binary, form)
        if state.offset == 0 and form == "csv":
            write(COLUMNS)
        written = 0
        for batch in batches(engine, wanted, state.last_id):
            for row in batch:
                write(row)
            state.rows, state.last_id = state.rows + len(batch), batch[-1][0]
            written += len(batch)
            if written >= ROWS_A_CHECKPOINT:
                _checkpoint(binary, state, notes)
                written = 0
        _checkpoint(binary, state, notes)
    return _finish(partial, target, state.rows, notes)


def _row_writer(binary: IO[bytes], form: str) -> Callable[[Sequence[Any]], None]:
    if form == "jsonl":

        def write_line(row: Sequence[Any]) -> None:
            line = json_line(dict(zip(COLUMNS, row, strict=True)))
            binary.write(line.encode() + b"\n")

        return write_line

    class Lines:
        def write(self, text: str) -> None:
            binary.write(text.encode())

    writer = csv.writer(Lines(), lineterminator="\n")

    def write_cells(row: Sequence[Any]) -> None:
        writer.writerow([to_cell(value) for value in row])

    return write_cells


def _resumed(partial: Path, notes: Path, asked: str, target: Path) -> _State:
    if not (partial.exists() and notes.exists()):
        return _State(asked)
    state = _State(**json.loads(notes.read_text()))
    if state.asked != asked:
        raise ExportError(
            f"{partial} is the beginning of another export to {target}: finish that one with the "
            f"same options, or delete {partial} and {notes}"
        )
    return state


def _checkpoint(binary: IO[bytes], state: _State, notes: Path) -> None:
    """The bytes first, then the note that counts them: a note never promises too much."""
    binary.flush()
    os.fsync(binary.fileno())
    state.offset = binary.tell()
    temporary = Path(f"{notes}.new")
    temporary.write_text(json.dumps(asdict(state)))
    temporary.replace(notes)


def _finish(partial: Path, target: Path, rows: int, *leftovers: Path) -> Exported:
    """Give a finished export its name and its checksum."""
    partial.replace(target)
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    checksum = sha256(target)
    _write_checksum(target, checksum)
    return Exported(str(target), rows, checksum)


def _write_checksum(target: Path, checksum: str) -> None:
    """As ``sha256sum -c`` reads it: a line break in a name is escaped, and a mark says so."""
    name, mark = target.name, ""
    if "\n" in name or "\r" in name:
        mark = "\\"
        for plain_text, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r")):
            name = name.replace(plain_text, escaped)
    Path(f"{target}.sha256").write_text(f"{mark}{checksum}  {name}\n")


def sha256(target: Path) -> str:
    """The checksum of a file; of a folder, that of its sorted names and checksums."""
    if target.is_file():
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    total = hashlib.sha256()
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        total.update(os.fsencode(f"{sha256(path)}  {path.relative_to(target)}\n"))
    return total.hexdigest()


def export_sqlite(engine: Engine, wanted: Filter, target: Path) -> Exported:
    """Write a SQLite file with one table `catalogue`, which Datasette and sqlite3 open."""
    partial = Path(f"{target}.partial")
    partial.unlink(missing_ok=True)
    kinds = {"id": "INTEGER PRIMARY KEY", "size": "INTEGER", "needs_review": "INTEGER"}
    reals = {name for name in COLUMNS if name.endswith("confidence") or name in ("margin", "mtime")}
    spec = ", ".join(
        f"{name} {kinds.get(name, 'REAL' if name in reals else 'TEXT')}" for name in COLUMNS
    )
    marks = ", ".join("?" * len(COLUMNS))
    connection, rows = sqlite3.connect(partial), 0
    try:
        # a killed one begins again: no journal to write, and none to be left behind
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"CREATE TABLE catalogue ({spec})")
        for batch in batches(engine, wanted):
            connection.executemany(
                f"INSERT INTO catalogue VALUES ({marks})",  # noqa: S608 - only question marks
                [[plain(value) for value in row] for row in batch],
            )
            rows += len(batch)
        connection.execute(f"CREATE INDEX by_label ON catalogue ({FINAL_LABEL})")
        connection.commit()
    finally:
        connection.close()
    return _finish(partial, target, rows)


def finish_folder(partial: Path, target: Path, rows: int) -> Exported:
    """Give a finished folder its name; one that stands there already is not overwritten."""
    if target.exists():
        raise ExportError(f"{target} exists: delete it, or export to another name")
    partial.replace(target)
    checksum = sha256(target)
    Path(f"{target}.sha256").write_text(f"{checksum}  {target.name} (names and checksums)\n")
    return Exported(str(target), rows, checksum)


def finish_file(partial: Path, target: Path, rows: int) -> Exported:
    """Give a finished file its name and its checksum."""
    return _finish(partial, target, rows)
