"""Labels by people: recording corrections, and the model's accuracy on corrected rows.

A correction never changes the model's label. It sets `human_label`, which takes precedence, and
adds a row to the table `corrections`: who, when, from, to, note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks
from db.corrections import log, taxonomy_labels
from db.errors import InvalidRecord
from db.session import reading, writing
from db.tables import catalogue, label_history, relabels, same_bytes, same_picture
from db.writes.leases import RowState

CONFIDENCE_BANDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)  # lower ends
SHOWN = 20  # wrong corrections in one message
FILE_CHANGED = "the file's bytes changed"
_CORRECTED = (catalogue.c.human_label.isnot(None), catalogue.c.status == "labelled")


@dataclass(frozen=True)
class Correction:
    """A person's label for the row `id`; `label` None withdraws an earlier correction."""

    id: int
    label: str | None
    note: str | None = None
    path: str | None = None  # if given, the row must have this path
    place: str | None = None  # where the correction was read, for error messages

    def __str__(self) -> str:
        return f"row {self.id}" if self.place is None else f"{self.place} (row {self.id})"


@dataclass(frozen=True)
class Applied:
    """How many corrections changed a row, and how many were recorded before.

    `batch` identifies those that changed a row in the log, for `db.corrections.undo`; '' if none.
    """

    changed: int
    unchanged: int
    batch: str = field(default="", compare=False)


@dataclass(frozen=True)
class Accuracy:
    """How often the model was right on the corrected rows of a label or confidence band.

    A label that stops early is right if it is an ancestor of the person's: `shoes` for
    `shoes/female/sandals`. Its confidence means the same. `exact` counts labels equal to the
    person's.
    """

    kind: str  # 'all', 'label' (the person's) or 'confidence'
    name: str
    rows: int
    right: int
    exact: int

    @property
    def accuracy(self) -> float:
        return self.right / self.rows


def apply(engine: Engine, wanted: Iterable[Correction], by: str) -> Applied:
    """Record all corrections in one transaction, or none. Idempotent.

    Labels may be written with slashes or hyphens and must be in a registered taxonomy.

    Raises:
        InvalidRecord: names every wrong correction; nothing is recorded.
    """
    asked = list(wanted)
    log.checked_name(by)
    with writing(engine) as connection:
        rows = log.locked_rows(connection, [correction.id for correction in asked])
        names = taxonomy_labels.label_names(connection)
        labels = taxonomy_labels.resolved(names, (correction.label for correction in asked))
        problems = [
            *_unknown_rows(asked, rows),
            *_unknown_labels(asked, names, labels),
            *_contradictions(asked, labels),
        ]
        if problems:
            more = f"; and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else ""
            raise InvalidRecord("nothing was applied: " + "; ".join(problems[:SHOWN]) + more)
        now = clocks.now(connection)
        action = log.Action(by, now, batch := log.new_batch(now))
        entries: dict[int, dict[str, Any]] = {}
        for correction in asked:
            row, label = rows[correction.id], labels[correction.label]
            if row["human_label"] != label:
                entries[row["id"]] = action.entry(row, label, correction.note)
        log.write(connection, list(entries.values()), now)
    unchanged = len({correction.id for correction in asked}) - len(entries)
    return Applied(len(entries), unchanged, batch if entries else "")


def withdraw_outdated(
    connection: Connection,
    found: Mapping[bytes, RowState],
    rows: Sequence[Mapping[str, Any]],
    now: datetime,
) -> None:
    """Withdraw the human labels of rows whose file has other bytes now."""
    changed = [
        {
            "id": old.id,
            "label": old.human_label,
            "model_label": None,
            "human_label": old.human_label,
        }
        for row in rows
        if (old := found.get(row["path_key"])) is not None
        and old.human_label is not None
        and None not in (old.content_hash, row["content_hash"])
        and old.content_hash != row["content_hash"]
    ]
    action = log.Action("fashion-cascade", now, batch=None)
    log.write(connection, [action.entry(row, None, FILE_CHANGED) for row in changed], now)


def accuracy(engine: Engine) -> list[Accuracy]:
    """The model's accuracy on corrected rows: overall, by label, by confidence band.

    Confirmed rows count like changed ones. Corrected rows are rarely a random sample: a sheet of
    the least confident pictures shows the model at its worst.
    """
    band = sa.case(
        *((catalogue.c.confidence >= low, low) for low in reversed(CONFIDENCE_BANDS)),
        else_=CONFIDENCE_BANDS[0],
    )
    label, human = catalogue.c.model_label, catalogue.c.human_label
    ancestor = sa.func.substr(human, 1, sa.func.length(label) + 1) == label + "/"
    exact = sa.func.sum(sa.case((label == human, 1), else_=0))
    right = sa.func.sum(sa.case((label == human, 1), (ancestor, 1), else_=0))
    query = (
        sa.select(human, band, sa.func.count(), right, exact)
        .where(*_CORRECTED)
        .group_by(human, band)
    )
    with reading(engine) as connection:
        found = [tuple(row) for row in connection.execute(query)]
    sums: dict[tuple[str, str], list[int]] = {}
    for name, low, *numbers in sorted(found):
        for key in (("all", "all"), ("label", name), ("confidence", _band_name(float(low)))):
            total = sums.setdefault(key, [0, 0, 0])
            for index, number in enumerate(numbers):
                total[index] += int(number)
    order = {"all": 0, "label": 1, "confidence": 2}
    keys = sorted(sums, key=lambda key: (order[key[0]], key[1]))
    return [Accuracy(kind, name, *sums[kind, name]) for kind, name in keys]


def accuracy_of_model(engine: Engine, model: str) -> Accuracy:
    """The accuracy of the model version `model` on the corrected rows that it has labelled.

    Its label is the row's current one, or one not yet promoted (`relabels`), or one of the same
    bytes in the history. Two models can thus be compared on corrected rows, whichever is in use.
    """
    columns = (catalogue.c.id, catalogue.c.human_label)
    history = catalogue.join(label_history, label_history.c.catalogue_id == catalogue.c.id)
    sources: list[tuple[Any, Any]] = [  # a later one overrides an earlier one
        (label_history, history),
        (relabels, catalogue.join(relabels, same_picture)),
        (catalogue, catalogue),
    ]
    answers: dict[int, tuple[str, str]] = {}
    with reading(engine) as connection:
        for table, source in sources:
            query = (
                sa.select(*columns, table.c.model_label)
                .select_from(source)
                .where(*_CORRECTED, table.c.model_version == model, table.c.model_label.isnot(None))
                .where(same_bytes(table))
                .order_by(table.c.id)
            )
            found = connection.execute(query)
            answers |= {row_id: (human, label) for row_id, human, label in found}
    right = sum(f"{human}/".startswith(f"{label}/") for human, label in answers.values())
    exact = sum(human == label for human, label in answers.values())
    return Accuracy("model", model, len(answers), right, exact)


def _band_name(low: float) -> str:
    high = next((end for end in CONFIDENCE_BANDS if end > low), 1.0)
    return f"{low:.2f}-{high:.2f}"


def _unknown_rows(asked: Sequence[Correction], rows: Mapping[int, Any]) -> list[str]:
    problems = [f"{c}: there is no row {c.id}" for c in asked if c.id not in rows]
    for c in asked:
        if c.id in rows and c.path not in (None, rows[c.id]["path"]):
            problems.append(f"{c}: the row is {rows[c.id]['path']!r}, not {c.path!r}")
    return problems


def _unknown_labels(
    asked: Sequence[Correction], names: Sequence[str], labels: Mapping[str | None, Any]
) -> list[str]:
    unknown = [c for c in asked if c.label not in labels]
    return [f"{c}: {taxonomy_labels.unknown_label(c.label, names)}" for c in unknown]


def _contradictions(
    asked: Sequence[Correction], labels: Mapping[str | None, str | None]
) -> list[str]:
    first: dict[int, str | None] = {}
    problems = []
    for correction in asked:
        label = labels.get(correction.label)
        if first.setdefault(correction.id, label) != label:
            problems.append(f"{correction}: corrected twice, to different labels")
    return problems
