"""Importing an export: the CSV or JSON lines that ``export`` writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection, Engine

from db.chunks import chunks
from db.errors import ExportError, UnknownLabel
from db.exports.text_encoding import from_cell
from db.filters import label_entries
from db.records import STATUSES, LabelEntry
from db.session import writing
from db.tables import CONFIDENCES, catalogue, path_key
from db.writes import bulk, leases, registry
from db.writes.row_values import ROW_NAMES, checked_confidence, checked_text

ROWS_PER_TRANSACTION = 2000
REQUIRED = ("crawl", "path", "status")
COLUMNS = tuple(name for name in ROW_NAMES if name not in ("id", "label"))  # the database computes
_TIMES = ("labelled_at", "created_at", "updated_at")
_NUMBERS = (*CONFIDENCES, "mtime")
_INTEGERS = ("size", "attempts")


@dataclass(frozen=True)
class Imported:
    """How many rows were added, and how many existed already and stayed unchanged."""

    added: int
    present: int


def import_file(engine: Engine, source: Path) -> Imported:
    """Add the rows of an exported file; rows with an existing crawl and path stay unchanged.

    Each few thousand rows are a transaction. An interrupted import can be run again.

    Raises:
        ExportError: a line cannot be read; the message names it.
        UnknownLabel: a human label of no registered taxonomy that is no label in the file either.
    """
    added = present = 0
    for numbered in chunks(_records(source), ROWS_PER_TRANSACTION):
        with writing(engine) as connection:
            new = _import(connection, [_row(source, n, record) for n, record in numbered])
        added, present = added + new, present + len(numbered) - new
    return Imported(added, present)


def _records(source: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, record) of a JSON lines or CSV file; JSON lines begin with ``{``."""
    with source.open(encoding="utf-8", newline="") as file:
        first = file.read(1)
        file.seek(0)
        if first == "{":
            for number, line in enumerate(file, 1):
                try:
                    yield number, json.loads(line)
                except ValueError as error:
                    raise ExportError(f"{source}, line {number}: expected JSON: {error}") from error
            return
        csv.field_size_limit(10_000_000)
        reader = csv.DictReader(file, strict=True)
        try:
            for cells in reader:
                if None in cells or None in cells.values():
                    raise ExportError(
                        f"{source}, line {reader.line_num}: expected {len(cells)} cells"
                    )
                yield reader.line_num, {n: from_cell(c) if c else None for n, c in cells.items()}
        except csv.Error as error:
            raise ExportError(f"{source}, line {reader.line_num}: {error}") from error


def _row(source: Path, number: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """One record as column values."""
    try:
        missing = [name for name in REQUIRED if not record.get(name)]
        if missing or record["status"] not in STATUSES:
            raise ValueError(f"expected {', '.join(REQUIRED)}, received {dict(record)!r:.200}")
        row = {name: _value(name, record.get(name)) for name in COLUMNS}
        if "model_label" not in record:  # before version 0.2, `label` was the model's
            row["model_label"] = _value("model_label", record.get("label"))
            row["label_of_parts"] = row["model_label"]
        else:
            row["label_of_parts"] = row["human_label"] or row["model_label"]
    except (ValueError, TypeError, AttributeError) as error:
        raise ExportError(f"{source}, line {number}: {error}") from error
    now = datetime.now(UTC)
    row["created_at"] = row["created_at"] or now
    row["updated_at"] = row["updated_at"] or now
    row["attempts"] = row["attempts"] or 0
    row["path_key"] = path_key(str(row["path"]))
    return row


def _value(name: str, value: Any) -> Any:
    if name == "needs_review":
        if value not in (None, True, False, "true", "false"):
            raise ValueError(f"{name}: expected true or false, received {value!r}")
        return value in (True, "true")
    if value is None:
        return None
    if name in _TIMES:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            raise ValueError(f"{name}: expected a time with a time zone, received {value!r}")
        return time
    if name in CONFIDENCES:
        return checked_confidence(float(value), name)
    if name in _NUMBERS:
        return float(value)
    if name in _INTEGERS:
        return int(value)
    return checked_text(str(value), name)


def _import(connection: Connection, rows: list[dict[str, Any]]) -> int:
    _register(connection, rows)
    added = 0
    for crawl in sorted({row["crawl"] for row in rows}):
        registry.ensure_crawl(connection, crawl, datetime.now(UTC))
        of_crawl = {row["path_key"]: row for row in rows if row["crawl"] == crawl}
        found = leases.locked_rows(connection, catalogue, crawl, of_crawl)
        new = [row for key, row in sorted(of_crawl.items()) if key not in found]
        bulk.insert(connection, catalogue, new)
        added += len(new)
    return added


def _register(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Register the models and labels of the rows."""
    entries = {
        label: LabelEntry(
            label, row["category"], row["gender"], row["type"], label == row["best_leaf"]
        )
        for row in rows
        if (label := row.pop("label_of_parts")) is not None
    }
    known_entries = [*label_entries(connection), *entries.values()]
    unknown = {row["model_label"] for row in rows} - {entry.label for entry in known_entries}
    for label in sorted(unknown - {None}):
        entries[label] = _entry_of_path(label, known_entries)
    versions = {row["model_version"] for row in rows if row["model_version"] is not None}
    known = set(registry.versions(connection))
    if entries or versions - known:
        for version in sorted(versions):
            registry.register(connection, version, list(entries.values()), None, {})
    human = {row["human_label"] for row in rows if row["human_label"] is not None}
    if unknown := human - registry.label_names(connection):
        raise UnknownLabel(
            f"expected labels of a registered taxonomy, received {sorted(unknown)}; "
            "first label a picture with a model that has them"
        )


def _entry_of_path(label: str, known: Sequence[LabelEntry]) -> LabelEntry:
    """The entry of a model's label whose parts the file does not have.

    That is the label of a corrected row: its `category`, `gender` and `type` are the person's. The
    second level is a gender if a known label of the same category has it as its gender.
    """
    category, *below = label.split("/")
    genders = {entry.gender for entry in known if entry.category == category}
    gender = below.pop(0) if below and (len(below) > 1 or below[0] in genders) else None
    return LabelEntry(label, category, gender, below[-1] if below else None, is_leaf=False)
