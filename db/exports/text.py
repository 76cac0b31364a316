"""Exports as CSV and JSON lines. An interrupted export is resumed at its last checkpoint.

``TARGET.partial`` holds the rows so far, ``TARGET.partial.json`` the checkpoint.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy.engine import Engine

from db.errors import ExportError
from db.exports.files import COLUMNS, Exported, batches, finish_file, partial_path
from db.exports.text_encoding import json_line, plain, to_cell
from db.filters import Filter

ROWS_PER_CHECKPOINT = 50_000


@dataclass
class _Checkpoint:
    """The progress of an export. The names of its fields are keys in ``TARGET.partial.json``."""

    asked: str  # the format and the filter, as JSON
    last_id: int = 0
    rows: int = 0
    offset: int = 0


def export_text(engine: Engine, wanted: Filter, target: Path, form: str) -> Exported:
    """Write the matching rows as `form`, 'csv' or 'jsonl'; resume an interrupted export.

    Raises:
        ExportError: the unfinished export at `target` has another format or filter.
    """
    partial, notes = partial_path(target), Path(f"{target}.partial.json")
    asked = json.dumps([form, {n: plain(v) for n, v in asdict(wanted).items()}])
    checkpoint = _last_checkpoint(partial, notes, asked, target)
    with partial.open("r+b" if partial.exists() else "w+b") as binary:
        binary.truncate(checkpoint.offset)
        binary.seek(checkpoint.offset)
        write = _row_writer(binary, form)
        if checkpoint.offset == 0 and form == "csv":
            write(COLUMNS)
        written = 0
        for batch in batches(engine, wanted, checkpoint.last_id):
            for row in batch:
                write(row)
            checkpoint.rows += len(batch)
            checkpoint.last_id = batch[-1][0]
            written += len(batch)
            if written >= ROWS_PER_CHECKPOINT:
                _save_checkpoint(binary, checkpoint, notes)
                written = 0
        _save_checkpoint(binary, checkpoint, notes)
    return finish_file(target, checkpoint.rows, notes)


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


def _last_checkpoint(partial: Path, notes: Path, asked: str, target: Path) -> _Checkpoint:
    if not (partial.exists() and notes.exists()):
        return _Checkpoint(asked)
    checkpoint = _Checkpoint(**json.loads(notes.read_text()))
    if checkpoint.asked != asked:
        raise ExportError(
            f"{partial} is an unfinished, different export to {target}: finish it with its "
            f"original options, or delete {partial} and {notes}"
        )
    return checkpoint


def _save_checkpoint(binary: IO[bytes], checkpoint: _Checkpoint, notes: Path) -> None:
    """Save the data first, then the checkpoint, so that it never counts missing data."""
    binary.flush()
    os.fsync(binary.fileno())
    checkpoint.offset = binary.tell()
    temporary = Path(f"{notes}.new")
    temporary.write_text(json.dumps(asdict(checkpoint)))
    temporary.replace(notes)
