"""`correct`: the labels that a person chose for rows that they looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection, Engine

from db import clocks
from db.corrections import log, taxonomy_labels
from db.corrections.log import Done, Refused
from db.errors import InvalidRecord
from db.session import writing

SHOWN = 20  # unknown rows in one message


@dataclass(frozen=True)
class Choice:
    """A person's label for the row `id`; None withdraws the human label.

    `seen` is the label that counted when the person looked: a person's, or else the model's.
    """

    id: int
    label: str | None
    seen: str | None


def correct(engine: Engine, choices: Iterable[Choice], by: str, note: str | None = None) -> Done:
    """Record the choices in one transaction, as one batch. Idempotent.

    A row whose label is not the one that was seen is refused and never overwritten: of two people
    who correct a row at once, one wins and the other is told. A row that has the chosen human label
    already is unchanged, whatever was seen. A label that the model gave as well is recorded: the
    person confirms it.

    Raises:
        InvalidRecord: a label of no registered taxonomy, a row that is not there, two different
            choices for one row, no name. Nothing is recorded.
    """
    log.checked_name(by)
    wanted = _by_row(choices)
    with writing(engine) as connection:
        labels = taxonomy_labels.resolved_or_refused(
            connection, (choice.label for choice in wanted.values())
        )
        rows = log.locked_rows(connection, wanted)
        if gone := [str(row_id) for row_id in wanted if row_id not in rows]:
            raise InvalidRecord(
                f"nothing was recorded: there is no row {', '.join(gone[:SHOWN])}"
                f"{'' if len(gone) <= SHOWN else ' …'}; it was deleted meanwhile: look again"
            )
        now = clocks.now(connection)
        batch = log.new_batch(now)
        action = log.Action(by, now, batch)
        entries, conflicts = [], []
        for choice in wanted.values():
            row, label = rows[choice.id], labels[choice.label]
            if row["human_label"] == label:
                continue
            if row["label"] != choice.seen and row["label"] != label:
                conflicts.append(choice)
            else:
                entries.append(action.entry(row, label, note))
        log.write(connection, entries, now)
        refused = _refused(connection, conflicts, rows)
    unchanged = len(wanted) - len(entries) - len(refused)
    return Done(batch if entries else "", len(entries), unchanged, refused)


def _by_row(choices: Iterable[Choice]) -> dict[int, Choice]:
    found: dict[int, Choice] = {}
    for choice in choices:
        if found.setdefault(choice.id, choice) != choice:
            raise InvalidRecord(
                f"nothing was recorded: row {choice.id} was chosen twice, differently"
            )
    return found


def _refused(
    connection: Connection, conflicts: Sequence[Choice], rows: Mapping[int, Mapping[str, Any]]
) -> tuple[Refused, ...]:
    last = log.last_corrections(connection, [choice.id for choice in conflicts])
    return tuple(
        Refused(
            choice.id,
            rows[choice.id]["path"],
            choice.seen,
            rows[choice.id]["label"],
            *last.get(choice.id, (None, None)),
        )
        for choice in conflicts
    )
