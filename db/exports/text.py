"""Exports as CSV and JSON lines. An interrupted export is resumed at its last checkpoint.

``TARGET.partial`` holds the rows so far, ``TARGET.partial.json`` the checkpoint.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from sqlalchemy.engine import Engine

from db.errors import ExportError
from db.exports.files import (
    EVERYTHING,
    Exported,
    HashingSink,
    Layout,
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


def export_text(
    engine: Engine, wanted: Filter, target: Path, form: str, layout: Layout = EVERYTHING
) -> Exported:
    """Write the matching rows as `form`, 'csv' or 'jsonl'; resume an interrupted export.

    Raises:
        ExportError: the unfinished export at `target` has another format or filter.
    """
    if not is_stream(target):
        with unfinished_text(engine, wanted, target, form, layout) as rows:
            return finish_text(target, rows)
    number = 0
    with export_sink(target) as sink:
        write = _row_writer(sink, form, layout.columns)
        for batch in batches(engine, wanted, layout=layout):
            for row in batch:
                write(row)
            number += len(batch)
        checksum = sink.sha256()
    return exported(target, number, checksum)


@contextmanager
def unfinished_text(
    engine: Engine,
    wanted: Filter,
    target: Path,
    form: str,
    layout: Layout = EVERYTHING,
    *,
    resume: bool = True,
) -> Iterator[int]:
    """Write all rows under the temporary name of `target`, and yield their number.

    Inside the block, no other process can write or finish the same export.

    Raises:
        ExportError: the unfinished export at `target` has another format or filter.
    """
    partial = partial_path(target)
    asked = json.dumps(
        [form, {n: plain(v) for n, v in asdict(wanted).items()}]
        + ([] if layout == EVERYTHING else [asdict(layout)])
    )
    by_id = layout.order_by == "id"
    # the id first, for the checkpoint
    read = replace(layout, columns=("id", *(n for n in layout.columns if n != "id")))
    places = [read.columns.index(name) for name in layout.columns]
    arrange = None if read.columns == layout.columns else _arranger(places)
    with open_partial(partial, keep=True) as binary:
        last = _last_checkpoint(partial, asked, target) if resume else _Checkpoint(asked)
        checkpoint = last if by_id else _Checkpoint(asked)
        binary.truncate(checkpoint.offset)
        binary.seek(checkpoint.offset)
        write = _row_writer(binary, form, layout.columns, header=checkpoint.offset == 0)
        written = 0
        for batch in batches(engine, wanted, checkpoint.last_id, read):
            for row in batch if arrange is None else map(arrange, batch):
                write(row)
            checkpoint.rows += len(batch)
            checkpoint.last_id = batch[-1][0]
            written += len(batch)
            if by_id and written >= ROWS_PER_CHECKPOINT:
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


def _arranger(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """A function that takes these places of a row."""
    return lambda row: [row[place] for place in places]


def _row_writer(
    binary: IO[bytes] | HashingSink, form: str, columns: Sequence[str], *, header: bool = True
) -> Callable[[Sequence[Any]], None]:
    """A function that writes one row; the header of a CSV is written at once."""
    if form == "jsonl":

        def write_line(row: Sequence[Any]) -> None:
            line = json_line(dict(zip(columns, row, strict=True)))
            binary.write(line.encode() + b"\n")

        return write_line

    write_row = csv_line_writer(lambda line: binary.write(line.encode()))
    if header:
        write_row(columns)
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
