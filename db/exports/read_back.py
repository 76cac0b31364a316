"""Importing an export: the CSV, JSON lines or Parquet that ``export`` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError

from db.chunks import chunks
from db.errors import ExportError, InvalidRecord, UnknownLabel
from db.exports.text_encoding import from_cell
from db.filters import label_entries
from db.records import STATUSES, LabelEntry
from db.session import writing
from db.tables import CONFIDENCES, catalogue, path_key
from db.writes import bulk, leases, registry
from db.writes.row_values import ROW_NAMES, checked_confidence, checked_text
from rendering.text import did_you_mean
from tabular.errors import TabularError
from tabular.read import read_rows
from tabular.values import integer, number, text_of, time_of, truth

ROWS_PER_STATEMENT = 2000
REQUIRED = ("crawl", "path", "status")
COLUMNS = tuple(name for name in ROW_NAMES if name not in ("id", "label"))  # the database computes
READ = (*COLUMNS, "label")
MAX_ATTEMPTS = 2**15 - 1
_OF_A_LABEL = ("model_label", "best_leaf", "category", "confidence", "model_version", "labelled_at")
_TIMES = ("labelled_at", "created_at", "updated_at")
_NUMBERS = (*CONFIDENCES, "mtime")
_INTEGERS = ("size", "attempts")


@dataclass(frozen=True)
class Imported:
    """How many rows were added, and how many existed already and stayed unchanged."""

    added: int
    present: int


def import_file(engine: Engine, source: Path, encoding: str | None = None) -> Imported:
    """Add the rows of an exported file; rows with an existing crawl and path stay unchanged.

    All are added in one transaction, or none if a row is refused. An empty file has no rows.

    Raises:
        ExportError: a row cannot be read or stored, which the message names; or a file that is not
            empty has no rows.
        UnknownLabel: a human label of no registered taxonomy that is no label in the file either.
    """
    if source.stat().st_size == 0:
        return Imported(0, 0)
    added = present = 0
    rows = read_rows(
        source, READ, REQUIRED, encoding=encoding, whole_rows=True, from_cell=from_cell
    )
    try:
        with writing(engine) as connection:
            for numbered in chunks(rows, ROWS_PER_STATEMENT):
                new = _import(connection, [_row(place, record) for place, record in numbered])
                added, present = added + new, present + len(numbered) - new
    except TabularError as error:
        raise ExportError(f"{error}; nothing was added") from error
    except (IntegrityError, DataError) as error:
        reason = " ".join(str(error.orig).split())
        raise ExportError(
            f"{source}: a row cannot be stored: {reason}; nothing was added"
        ) from error
    if not added + present:
        raise ExportError(f"{source}: expected rows of an export, found none")
    return Imported(added, present)


def _row(place: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """One record as column values."""
    try:
        row = {name: _value(name, record.get(name)) for name in COLUMNS}
        if "model_label" not in record:  # before version 0.2, `label` was the model's
            row["model_label"] = _value("model_label", record.get("label"))
            row["label_of_parts"] = row["model_label"]
        else:
            row["label_of_parts"] = row["human_label"] or row["model_label"]
        row["attempts"] = row["attempts"] or 0
        row["place"] = place
        _check(row)
    except (ValueError, InvalidRecord) as error:
        raise ExportError(f"{place}: {error}; nothing was added") from error
    now = datetime.now(UTC)
    row["created_at"] = row["created_at"] or now
    row["updated_at"] = row["updated_at"] or now
    row["path_key"] = path_key(str(row["path"]))
    return row


def _check(row: Mapping[str, Any]) -> None:
    """Refuse what the catalogue's constraints refuse, while the row's line is known."""
    missing = [name for name in REQUIRED if row[name] is None]
    if row["status"] == "labelled":
        missing += [name for name in _OF_A_LABEL if row[name] is None]
    if row["status"] == "rejected" and row["reason"] is None:
        missing.append("reason")
    if missing:
        raise ValueError(f"expected {', '.join(missing)}, received {row['status']!r} without")
    if row["status"] not in STATUSES:
        raise ValueError(f"status: expected {', '.join(STATUSES)}, received {row['status']!r:.200}")
    if row["model_label"] is not None and row["status"] != "labelled":
        raise ValueError(f"expected no label of the model, received one with {row['status']!r}")
    if not 0 <= row["attempts"] <= MAX_ATTEMPTS:
        raise ValueError(f"attempts: expected 0 to {MAX_ATTEMPTS}, received {row['attempts']}")


def _value(name: str, value: Any) -> Any:
    try:
        if name == "needs_review":
            return truth(value)
        if value is None:
            return None
        if name in _TIMES:
            return time_of(value)
        if name in CONFIDENCES:
            return checked_confidence(number(value), name)
        if name == "leaf_probabilities":
            return _checked_shares(text_of(value))
        if name in _NUMBERS:
            return number(value)
        if name in _INTEGERS:
            return integer(value)
        return checked_text(text_of(value), name)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _checked_shares(text: str | None) -> str | None:
    """The text of a JSON object from leaf to probability, as programs will parse it."""
    if text is None:
        return None
    try:
        shares = json.loads(text)
    except (ValueError, RecursionError):
        shares = None
    known = shares.values() if isinstance(shares, dict) else (None,)
    if not all(isinstance(share, int | float) and 0 <= share <= 1 for share in known):
        raise ValueError(
            f"expected a JSON object from leaf to probability, from 0 to 1, received {text!r:.200}"
        )
    return checked_text(text, "leaf_probabilities")


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
    """Register the models and labels of the rows; take what is no column out of them."""
    human_labels: dict[str, str] = {}  # the first place of each
    for row in rows:
        place = row.pop("place")
        if row["human_label"] is not None:
            human_labels.setdefault(row["human_label"], place)
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
    # filters find a leaf by its registered label
    leaves = {row["best_leaf"] for row in rows} - {None, *entries}
    for leaf in sorted(leaves - {entry.label for entry in known_entries}):
        entries[leaf] = replace(_entry_of_path(leaf, known_entries), is_leaf=True)
    versions = {row["model_version"] for row in rows if row["model_version"] is not None}
    known = set(registry.versions(connection))
    if entries or versions - known:
        for version in sorted(versions):
            registry.register(connection, version, list(entries.values()), None, {})
    registered = registry.label_names(connection)
    for label, place in human_labels.items():
        if label not in registered:
            raise UnknownLabel(
                f"{place}: human_label: expected a label of a registered taxonomy, received "
                f"{label!r}{did_you_mean(label, registered)}; correct it, or first label a picture "
                "with a model that has it; nothing was added"
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
