"""The log of corrections, from which the rows follow: an entry names a row and its new human label.

Every change of a human label by a person is first an entry and then an update of the row, in one
transaction. `from_label` of an entry is the label that counted before, a person's or the model's;
`from_human_label` is the person's, or NULL: what an undo goes back to.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.chunks import chunks
from db.errors import InvalidRecord
from db.tables import catalogue, corrections
from db.writes import bulk
from db.writes.row_values import checked_text


@dataclass(frozen=True)
class Refused:
    """A row that was left alone, because its label is another one than the person saw.

    `seen` is the label that the person saw, `found` the one that counts now. `by` and `at` are of
    the last correction of the row; None if no person ever corrected it: a model changed its label.
    """

    id: int
    path: str
    seen: str | None
    found: str | None
    by: str | None
    at: datetime | None


@dataclass(frozen=True)
class Done:
    """What an action did. `batch` identifies it in the log; '' if no row was changed.

    `unchanged` counts the rows that had the wanted human label before.
    """

    batch: str
    changed: int
    unchanged: int
    refused: tuple[Refused, ...] = ()


def new_batch(now: datetime) -> str:
    """An id for a batch. Ids sort by time; no two are alike."""
    return f"{now:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(3)}"


def checked_name(by: str) -> str:
    """The name of the person who corrects.

    Raises:
        InvalidRecord: it is empty, or no database can store it.
    """
    if not by.strip():
        raise InvalidRecord("expected the name of the person who corrects, received none")
    return str(checked_text(by, "corrected_by"))


def locked_rows(connection: Connection, ids: Iterable[int]) -> dict[int, Mapping[str, Any]]:
    """The rows of these ids, by id, locked until the transaction ends; always in the same order."""
    found: dict[int, Mapping[str, Any]] = {}
    columns = [catalogue.c[name] for name in ("id", "path", "label", "model_label", "human_label")]
    for chunk in chunks(sorted(set(ids)), bulk.KEYS_PER_STATEMENT):
        query = sa.select(*columns).where(catalogue.c.id.in_(chunk)).order_by(catalogue.c.id)
        for row in connection.execute(query.with_for_update()).mappings():
            found[row["id"]] = dict(row)
    return found


@dataclass(frozen=True)
class Action:
    """Who corrects, when, and the batch; None for what the program does by itself."""

    by: str
    at: datetime
    batch: str | None

    def entry(
        self, row: Mapping[str, Any], label: str | None, note: str | None = None
    ) -> dict[str, Any]:
        """The entry for a row, with its labels before, that gets the human label `label`."""
        return {
            "catalogue_id": row["id"],
            "corrected_by": checked_text(self.by, "corrected_by"),
            "corrected_at": self.at,
            "from_label": row["label"],
            "to_label": label,
            "model_label": row["model_label"],
            "note": checked_text(note, "note"),
            "batch": self.batch,
            "from_human_label": row["human_label"],
        }


def write(connection: Connection, entries: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Add the entries to the log and carry them out."""
    bulk.insert(connection, corrections, entries)
    values = [
        {"id": e["catalogue_id"], "human_label": e["to_label"], "updated_at": now} for e in entries
    ]
    bulk.update(connection, catalogue, values)


def write_selected(connection: Connection, entries: sa.Select[Any]) -> int:
    """Add the selected entries to the log; return how many. `carry_out` follows."""
    names = [str(column.name) for column in entries.selected_columns]
    counted = connection.execution_options(preserve_rowcount=True)  # PostgreSQL's is dropped else
    return counted.execute(sa.insert(corrections).from_select(names, entries)).rowcount


def carry_out(connection: Connection, batch: str, now: datetime) -> None:
    """Give all rows of a batch the human label that their entries name."""
    statement = (
        sa.update(catalogue)
        .where(catalogue.c.id == corrections.c.catalogue_id, corrections.c.batch == batch)
        .values(human_label=corrections.c.to_label, updated_at=now)
    )
    connection.execute(statement)


def last_corrections(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[str, datetime]]:
    """Who corrected each row last, and when; rows that nobody corrected are left out."""
    found: dict[int, tuple[str, datetime]] = {}
    for chunk in chunks(sorted(ids), bulk.KEYS_PER_STATEMENT):
        newest = (
            sa.select(sa.func.max(corrections.c.id))
            .where(corrections.c.catalogue_id.in_(chunk))
            .group_by(corrections.c.catalogue_id)
        )
        query = sa.select(
            corrections.c.catalogue_id, corrections.c.corrected_by, corrections.c.corrected_at
        ).where(corrections.c.id.in_(newest))
        found |= {row_id: (by, at) for row_id, by, at in connection.execute(query)}
    return found
