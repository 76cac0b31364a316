"""Exports as CSV and JSON lines. An interrupted export is resumed at its last checkpoint.

``TARGET.partial`` holds the rows so far, ``TARGET.partial.json`` the checkpoint.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy.engine import Engine

from db.errors import ExportError
from db.exports.files import (
    COLUMNS,
    Exported,
    HashingSink,
    batches,
    export_sink,
    exported,
    finish_file,
)
from db.exports.text_encoding import json_line, plain, to_cell
from db.filters import Filter
from rendering.csv_lines import csv_line_writer
from rendering.output import is_stream, open_partial, partial_path

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
    if not is_stream(target):
        with unfinished_text(engine, wanted, target, form) as rows:
            return finish_text(target, rows)
    number = 0
    with export_sink(target) as sink:
        write = _row_writer(sink, form)
        for batch in batches(engine, wanted):
            for row in batch:
                write(row)
            number += len(batch)
        checksum = sink.sha256()
    return exported(target, number, checksum)


@contextmanager
def unfinished_text(
    engine: Engine, wanted: Filter, target: Path, form: str, *, resume: bool = True
) -> Iterator[int]:
    """Write all rows under the temporary name of `target`, and yield their number.

    Inside the block, no other process can write or finish the same export.

    Raises:
        ExportError: the unfinished export at `target` has another format or filter.
    """
    partial = partial_path(target)
    asked = json.dumps([form, {n: plain(v) for n, v in asdict(wanted).items()}])
    with open_partial(partial, keep=True) as binary:
        checkpoint = _last_checkpoint(partial, asked, target) if resume else _Checkpoint(asked)
        binary.truncate(checkpoint.offset)
        binary.seek(checkpoint.offset)
        write = _row_writer(binary, form, header=checkpoint.offset == 0)
        written = 0
        for batch in batches(engine, wanted, checkpoint.last_id):
            for row in batch:
                write(row)
            checkpoint.rows += len(batch)
            checkpoint.last_id = batch[-1][0]
            written += len(batch)
            if written >= ROWS_PER_CHECKPOINT:
                _save_checkpoint(binary, checkpoint, _notes(partial))
                written = 0
        _save_checkpoint(binary, checkpoint, _notes(partial))
        yield checkpoint.rows


def finish_text(target: Path, rows: int) -> Exported:
    """Give a complete export its name and its checksum."""
    return finish_file(target, rows, _notes(partial_path(target)))


def drop_text(target: Path) -> None:
    """Delete an unfinished export."""
    partial = partial_path(target)
    for path in (partial, _notes(partial)):
        path.unlink(missing_ok=True)


def _notes(partial: Path) -> Path:
    return Path(f"{partial}.json")


def _row_writer(
    binary: IO[bytes] | HashingSink, form: str, *, header: bool = True
) -> Callable[[Sequence[Any]], None]:
    """A function that writes one row; the header of a CSV is written at once."""
    if form == "jsonl":

        def write_line(row: Sequence[Any]) -> None:
            line = json_line(dict(zip(COLUMNS, row, strict=True)))
            binary.write(line.encode() + b"\n")

        return write_line

    write_row = csv_line_writer(lambda line: binary.write(line.encode()))
    if header:
        write_row(COLUMNS)
    return lambda row: write_row([to_cell(value) for value in row])


def _last_checkpoint(partial: Path, asked: str, target: Path) -> _Checkpoint:
    notes = _notes(partial)
    if not notes.exists():
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
