"""What people say: corrections, all or nothing, and how well the model did on corrected rows.

A correction never touches what the model said. It stands in `human_label`, which counts wherever
there is one, and in the log `corrections`: who, when, from, to, note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks
from db.errors import InvalidRecord
from db.filters import label_entries
from db.label_patterns import label_fits
from db.session import reading, writing
from db.tables import catalogue, corrections, label_history, relabels
from db.writes import bulk
from db.writes.leases import RowState, chunks
from db.writes.row_values import text

BANDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)  # lower ends of the confidence bands
FILE_CHANGED = "the file's bytes changed"


@dataclass(frozen=True)
class Correction:
    """What a person says of the row `id`; `label` None takes an earlier correction back."""

    id: int
    label: str | None
    note: str | None = None
    path: str | None = None  # where given, the row must be of this path


@dataclass(frozen=True)
class Applied:
    """How many corrections changed something, and how many said what stood there already."""

    changed: int
    unchanged: int


@dataclass(frozen=True)
class Accuracy:
    """How often the model was right on corrected rows: of a label, or of a confidence band.

    A label is right as far as it goes: `shoes` for a person's `shoes/female/sandals`, which is what
    its confidence speaks of. `exact` counts those that said neither more nor less than the person.
    """

    kind: str  # 'all', 'label' (as the person has it) or 'confidence'
    name: str
    rows: int
    right: int
    exact: int

    @property
    def accuracy(self) -> float:
        return self.right / self.rows


def apply(engine: Engine, wanted: Iterable[Correction], by: str) -> Applied:
    """Record all of `wanted` in one transaction, or none. Idempotent.

    Labels may be written either way; they must stand in a registered taxonomy.

    Raises:
        InvalidRecord: names every line that is wrong; nothing is recorded then.
    """
    asked = list(wanted)
    if not by.strip():
        raise InvalidRecord("expected the name of who corrects, received none")
    with writing(engine) as connection:
        rows = _locked(connection, [correction.id for correction in asked])
        labels = _resolved(connection, asked)
        problems = [
            *_unknown_rows(asked, rows),
            *_unknown_labels(asked, labels),
            *_contradictions(asked, labels),
        ]
        if problems:
            raise InvalidRecord("nothing was applied: " + "; ".join(problems[:20]))
        now = clocks.now(connection)
        log: dict[int, dict[str, Any]] = {}
        for correction in asked:
            row, label = rows[correction.id], labels[correction.label]
            if row["human_label"] != label:
                log[correction.id] = _entry(row, label, by, correction.note, now)
        _write(connection, list(log.values()), now)
    changed = len(log)
    return Applied(changed, len({correction.id for correction in asked}) - changed)


def drop_outdated(
    connection: Connection,
    found: Mapping[bytes, RowState],
    rows: Sequence[Mapping[str, Any]],
    now: datetime,
) -> None:
    """Take back what a person said of other bytes than those that are now in the file."""
    changed = [
        {"id": old.id, "human_label": old.human_label, "label": None}
        for row in rows
        if (old := found.get(row["path_key"])) is not None
        and old.human_label is not None
        and None not in (old.content_hash, row["content_hash"])
        and old.content_hash != row["content_hash"]
    ]
    entries = [_entry(row, None, "fashion-cascade", FILE_CHANGED, now) for row in changed]
    _write(connection, entries, now)


def accuracy(engine: Engine) -> list[Accuracy]:
    """How right the model was where a person has looked: overall, by label, by confidence band.

    Rows that a person confirmed count as much as those that a person changed. Corrected rows are
    rarely a fair sample: a sheet of the least sure pictures shows the model at its worst.
    """
    band = sa.case(
        *((catalogue.c.confidence >= low, low) for low in reversed(BANDS)), else_=BANDS[0]
    )
    said, human = catalogue.c.label, catalogue.c.human_label
    above = sa.func.substr(human, 1, sa.func.length(said) + 1) == said + "/"
    exact = sa.func.sum(sa.case((said == human, 1), else_=0))
    right = sa.func.sum(sa.case((said == human, 1), (above, 1), else_=0))
    query = (
        sa.select(human, band, sa.func.count(), right, exact)
        .where(catalogue.c.human_label.isnot(None), catalogue.c.status == "labelled")
        .group_by(catalogue.c.human_label, band)
    )
    with reading(engine) as connection:
        found = [tuple(row) for row in connection.execute(query)]
    sums: dict[tuple[str, str], tuple[int, int, int]] = {}
    for label, low, *numbers in sorted(found):
        for key in (("all", "all"), ("label", label), ("confidence", _band_name(float(low)))):
            rows, good, same = (
                old + int(new) for old, new in zip(sums.get(key, (0, 0, 0)), numbers, strict=True)
            )
            sums[key] = (rows, good, same)
    order = {"all": 0, "label": 1, "confidence": 2}
    keys = sorted(sums, key=lambda key: (order[key[0]], key[1]))
    return [Accuracy(kind, name, *sums[kind, name]) for kind, name in keys]


def accuracy_of(engine: Engine, model: str) -> Accuracy:
    """How right `model` was on the corrected rows that it has an answer for.

    Its answer is the row's label now, or what waits to be promoted, or what the history kept of
    the same bytes. So two models can be compared on what people said, whichever is in use.
    """
    columns = (catalogue.c.id, catalogue.c.human_label)
    counts = (catalogue.c.human_label.isnot(None), catalogue.c.status == "labelled")
    before = catalogue.join(label_history, label_history.c.catalogue_id == catalogue.c.id)
    waiting = catalogue.join(
        relabels,
        sa.and_(relabels.c.crawl == catalogue.c.crawl, relabels.c.path_key == catalogue.c.path_key),
    )
    asked: list[tuple[Any, Any]] = [  # the later overrules the earlier
        (label_history, before),
        (relabels, waiting),
        (catalogue, catalogue),
    ]
    said: dict[int, tuple[str, str]] = {}
    with reading(engine) as connection:
        for table, source in asked:
            query = (
                sa.select(*columns, table.c.label)
                .select_from(source)
                .where(*counts, table.c.model_version == model, table.c.label.isnot(None))
                .where(_same_bytes(table))
                .order_by(table.c.id)
            )
            said |= {row_id: (human, label) for row_id, human, label in connection.execute(query)}
    right = sum(f"{human}/".startswith(f"{label}/") for human, label in said.values())
    exact = sum(human == label for human, label in said.values())
    return Accuracy("model", model, len(said), right, exact)


def _same_bytes(table: sa.Table) -> sa.ColumnElement[bool]:
    old, new = table.c.content_hash, catalogue.c.content_hash
    return sa.or_(old.is_(None), new.is_(None), old == new)


def _band_name(low: float) -> str:
    high = next((end for end in BANDS if end > low), 1.0)
    return f"{low:.2f}-{high:.2f}"


def _locked(connection: Connection, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    columns = [catalogue.c[name] for name in ("id", "path", "label", "human_label")]
    for chunk in chunks(sorted(set(ids))):
        query = sa.select(*columns).where(catalogue.c.id.in_(chunk)).order_by(catalogue.c.id)
        for row in connection.execute(query.with_for_update()).mappings():
            found[row["id"]] = dict(row)
    return found


def _resolved(connection: Connection, asked: Sequence[Correction]) -> dict[str | None, str | None]:
    """The label that each way of writing means; one that means none is left out."""
    names = [entry.label for entry in label_entries(connection)]
    resolved: dict[str | None, str | None] = {None: None}
    for written in {correction.label for correction in asked if correction.label is not None}:
        if "*" in written:
            continue
        meant = [name for name in names if label_fits(written.strip(), name)]
        if len(meant) == 1:
            resolved[written] = meant[0]
    return resolved


def _unknown_rows(asked: Sequence[Correction], rows: Mapping[int, Any]) -> list[str]:
    problems = [f"there is no row {c.id}" for c in asked if c.id not in rows]
    for c in asked:
        if c.id in rows and c.path not in (None, rows[c.id]["path"]):
            problems.append(f"row {c.id} is {rows[c.id]['path']!r}, not {c.path!r}")
    return problems


def _unknown_labels(asked: Sequence[Correction], labels: Mapping[str | None, Any]) -> list[str]:
    return [
        f"row {c.id}: expected a label of the taxonomy, received {c.label!r}"
        for c in asked
        if c.label not in labels
    ]


def _contradictions(
    asked: Sequence[Correction], labels: Mapping[str | None, str | None]
) -> list[str]:
    said: dict[int, str | None] = {}
    problems = []
    for correction in asked:
        label = labels.get(correction.label)
        if said.setdefault(correction.id, label) != label:
            problems.append(f"row {correction.id} is corrected twice, to different labels")
    return problems


def _entry(
    row: Mapping[str, Any], label: str | None, by: str, note: str | None, now: datetime
) -> dict[str, Any]:
    return {
        "catalogue_id": row["id"],
        "corrected_by": text(by, "corrected_by"),
        "corrected_at": now,
        "from_label": row["human_label"] or row["label"],
        "to_label": label,
        "model_label": row["label"],
        "note": text(note, "note"),
    }


def _write(connection: Connection, entries: list[dict[str, Any]], now: datetime) -> None:
    bulk.insert(connection, corrections, entries)
    values = [
        {"id": e["catalogue_id"], "human_label": e["to_label"], "updated_at": now} for e in entries
    ]
    bulk.update(connection, catalogue, values)
