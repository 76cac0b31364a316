"""`undo`: take back a whole batch, as another batch.

What was done later stays. A row is refused if a later correction of it stands: one that was not
taken back itself. Two corrections of a row are therefore undone in reverse order, and an undo can
be undone in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks
from db.chunks import chunks
from db.corrections import log
from db.corrections.log import Done, Refused
from db.errors import InvalidRecord
from db.session import writing
from db.tables import catalogue, corrections
from db.writes import bulk

_OF_BATCH = corrections.alias("of_batch")
_LATER = corrections.alias("later")
Later = Mapping[str, Any]


def undo(engine: Engine, batch: str, by: str) -> Done:
    """Give the rows of a batch the human label, or none, that they had before it. Idempotent.

    Rows that were corrected since, or whose file has other bytes since, are refused by name. Rows
    that this batch no longer changes, because it was undone before, are unchanged.

    Returns:
        The undo is a batch itself, so undoing it restores what it took back.

    Raises:
        InvalidRecord: no such batch, or no name. Nothing is changed.
    """
    log.checked_name(by)
    with writing(engine) as connection:
        rows = _lock(connection, batch)
        now = clocks.now(connection)
        new = log.new_batch(now)
        undone, changed_since = _sorted_out(batch, _later_entries(connection, batch))
        written = log.write_selected(connection, _entries(batch, new, by, now))
        kept = sorted({*undone, *changed_since})
        for chunk in chunks(kept, bulk.KEYS_PER_STATEMENT):
            statement = sa.delete(corrections).where(
                corrections.c.batch == new, corrections.c.catalogue_id.in_(chunk)
            )
            written -= connection.execute(statement).rowcount
        refused = _refused(connection, batch, new, undone, changed_since)
        log.carry_out(connection, new, now)
    return Done(new if written else "", written, rows - written - len(refused), refused)


def _lock(connection: Connection, batch: str) -> int:
    """Lock the rows of the batch and return their number.

    A statement of its own: those that follow see what others committed while this one waited.
    """
    ids = sa.select(corrections.c.catalogue_id).where(corrections.c.batch == batch)
    locked = (
        sa.select(catalogue.c.id)
        .where(catalogue.c.id.in_(ids))
        .order_by(catalogue.c.id)
        .with_for_update()
        .subquery("locked")
    )
    rows = int(connection.execute(sa.select(sa.func.count()).select_from(locked)).scalar_one())
    if not rows:
        raise InvalidRecord(
            f"expected a batch of corrections, received {batch[:100]!r}; "
            "'fashion-cascade review batches' lists them"
        )
    return rows


def _later_entries(connection: Connection, batch: str) -> dict[int, list[Later]]:
    """For each row of the batch that was corrected after it: these entries, newest first."""
    names = ("catalogue_id", "corrected_by", "corrected_at", "batch", "undoes")
    query = (
        sa.select(*(_LATER.c[name] for name in names))
        .join_from(_OF_BATCH, _LATER, _LATER.c.catalogue_id == _OF_BATCH.c.catalogue_id)
        .where(_OF_BATCH.c.batch == batch, _LATER.c.id > _OF_BATCH.c.id)
        .order_by(_LATER.c.id.desc())
    )
    found: dict[int, list[Later]] = {}
    for entry in connection.execute(query).mappings():
        found.setdefault(entry["catalogue_id"], []).append(dict(entry))
    return found


def _sorted_out(
    batch: str, later: Mapping[int, Sequence[Later]]
) -> tuple[set[int], dict[int, Later]]:
    """The rows where the batch is undone, and those where a later correction stands, with it."""
    undone: set[int] = set()
    changed_since: dict[int, Later] = {}
    for row_id, entries in later.items():
        own = {batch, *(entry["batch"] for entry in entries)}
        taken_back: set[str] = set()
        standing = []
        for entry in entries:  # newest first: an entry that is taken back takes nothing back
            if entry["batch"] in taken_back:
                continue
            if entry["undoes"] is not None and entry["undoes"] in own:
                taken_back.add(entry["undoes"])
            else:
                standing.append(entry)
        if batch in taken_back:
            undone.add(row_id)
        elif standing:
            changed_since[row_id] = standing[0]
    return undone, changed_since


def _entries(batch: str, new: str, by: str, now: Any) -> sa.Select[Any]:
    """The entries that take the batch back, for the rows that still have its human label."""
    values = {"corrected_by": by, "corrected_at": now, "batch": new, "undoes": batch}
    return (
        sa.select(
            catalogue.c.id.label("catalogue_id"),
            catalogue.c.label.label("from_label"),
            catalogue.c.model_label.label("model_label"),
            catalogue.c.human_label.label("from_human_label"),
            _OF_BATCH.c.from_human_label.label("to_label"),
            *(sa.literal(v, corrections.c[n].type).label(n) for n, v in values.items()),
        )
        .join_from(_OF_BATCH, catalogue, catalogue.c.id == _OF_BATCH.c.catalogue_id)
        .where(
            _OF_BATCH.c.batch == batch,
            catalogue.c.human_label.is_not_distinct_from(_OF_BATCH.c.to_label),
        )
        .order_by(catalogue.c.id)
    )


def _refused(
    connection: Connection,
    batch: str,
    new: str,
    undone: set[int],
    changed_since: Mapping[int, Later],
) -> tuple[Refused, ...]:
    """The rows of the batch without an entry in the new one, except those that are undone."""
    taken = sa.select(corrections.c.catalogue_id).where(corrections.c.batch == new)
    query = (
        sa.select(catalogue.c.id, catalogue.c.path, _OF_BATCH.c.to_label, catalogue.c.label)
        .join_from(_OF_BATCH, catalogue, catalogue.c.id == _OF_BATCH.c.catalogue_id)
        .where(_OF_BATCH.c.batch == batch, catalogue.c.id.not_in(taken))
        .order_by(catalogue.c.id)
    )
    refused = []
    for row_id, path, seen, found in connection.execute(query):
        if row_id not in undone:
            entry = changed_since.get(row_id)
            who = (None, None) if entry is None else (entry["corrected_by"], entry["corrected_at"])
            refused.append(Refused(row_id, path, seen, found, *who))
    return tuple(refused)
