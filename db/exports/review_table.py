"""The CSV of `review sheet`: write it for people to fill in, and read their corrections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from db.errors import ExportError
from db.exports.text_encoding import from_cell, to_cell
from db.human_labels import Correction
from db.records import Row
from rendering.csv_lines import csv_line_writer
from rendering.output import open_output
from tabular.errors import TabularError
from tabular.read import read_rows
from tabular.values import integer, text_of

LEAVES = ("best_leaf", "best_leaf_confidence", "second_leaf", "second_leaf_confidence")
WRITTEN = ("id", "path", "label", *LEAVES, "correct_label", "note")
COLUMNS = ("id", "path", "label", "correct_label", "note")  # that are read
REQUIRED = ("id", "label", "correct_label")
CONFIRM = "ok"  # as correct_label: the label is right


def write_review_table(
    file: Path, rows: Iterable[Row], notes: Mapping[int, str] | None = None
) -> None:
    """Write one line for each row; correct_label is empty, and so is note without one of ``notes``.

    ``notes`` are by row id.
    """
    with open_output(file) as binary:
        write_row = csv_line_writer(lambda line: binary.write(line.encode()))
        write_row(WRITTEN)
        for row in rows:
            leaves = [value for leaf in row.best_leaves() for value in leaf]
            leaves += [None] * (len(LEAVES) - len(leaves))
            values = (row.id, row.path, row.label, *leaves, "", (notes or {}).get(row.id, ""))
            write_row([to_cell(value) for value in values])


def read_review_table(file: Path, encoding: str | None = None) -> list[Correction]:
    """Read the lines whose correct_label is filled in.

    Raises:
        ExportError: the file cannot be read, a column is missing, or an id is not a number.
    """
    corrections = []
    try:
        for place, values in read_rows(
            file, COLUMNS, REQUIRED, encoding=encoding, from_cell=from_cell
        ):
            correct = (text_of(values.get("correct_label")) or "").strip()
            if not correct:
                continue
            label = (text_of(values.get("label")) or "").strip()
            if correct.casefold() == CONFIRM:
                correct = label
            if not correct:
                raise ExportError(f"{place}: '{CONFIRM}' confirms a label, but the row has none")
            note, path = (text_of(values.get(name)) for name in ("note", "path"))
            corrections.append(Correction(_id(place, values.get("id")), correct, note, path, place))
    except TabularError as error:
        raise ExportError(str(error)) from error
    return corrections


def _id(place: str, value: Any) -> int:
    try:
        return integer(value)
    except ValueError as error:
        raise ExportError(f"{place}: expected the id of a row: {error}") from error
