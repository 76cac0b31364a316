"""The CSV of `review sheet`: write it for people to fill in, and read their corrections."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from db.errors import ExportError
from db.exports.text_encoding import from_cell, to_cell
from db.human_labels import Correction
from db.records import Row
from rendering.csv_lines import csv_line_writer
from rendering.output import open_output

COLUMNS = ("id", "path", "label", "confidence", "correct_label", "note")
REQUIRED = {"id", "label", "correct_label"}
CONFIRM = "ok"  # as correct_label: the label is right


def write_review_table(file: Path, rows: Iterable[Row]) -> None:
    """Write one line for each row; the columns correct_label and note are empty."""
    with open_output(file) as binary:
        write_row = csv_line_writer(lambda line: binary.write(line.encode()))
        write_row(COLUMNS)
        for row in rows:
            values = (row.id, row.path, row.label, row.confidence, "", "")
            write_row([to_cell(value) for value in values])


def read_review_table(file: Path) -> list[Correction]:
    """Read the lines whose correct_label is filled in.

    Raises:
        ExportError: a column is missing, or an id is not a number.
    """
    corrections = []
    with file.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text)
        found = reader.fieldnames or ()
        if not set(found) >= REQUIRED:
            raise ExportError(
                f"{file}: expected the columns {', '.join(sorted(REQUIRED))}, "
                f"found {', '.join(found) or 'none'}"
            )
        for line in reader:
            correct = from_cell((line["correct_label"] or "").strip())
            if not correct:
                continue
            if not line["id"].strip().isdigit():
                raise ExportError(
                    f"{file}, line {reader.line_num}: expected the id of a row, "
                    f"received {line['id']!r}"
                )
            label = from_cell(line["label"]) if correct.casefold() == CONFIRM else correct
            note, path = (from_cell(line.get(name) or "") or None for name in ("note", "path"))
            corrections.append(Correction(int(line["id"]), label, note, path))
    return corrections
