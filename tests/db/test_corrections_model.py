"""Random actions and undos of several people equal a plain Python model of the catalogue.

The model keeps every entry as an object that knows whether it was taken back; the catalogue finds
that out from its log. A person acts on the labels of the last look, which others may have changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from db.catalogue import Catalogue
from db.check import check
from db.corrections import Choice, Done, batches, correct, correct_all, undo
from db.errors import InvalidRecord
from db.human_labels import FILE_CHANGED, Correction, apply
from db.queries import Filter, rows
from db.records import FileState
from db.session import reading, writing
from db.tables import catalogue as table
from db.tables import corrections as log
from tests.db.samples import CRAWL, LABELS, LEASE_SECONDS, MODEL, labelled, put, sandals

NAMES = [entry.label for entry in LABELS]
PATHS = [f"/{number}" for number in range(5)]
PROGRAM = "fashion-cascade"
people = st.sampled_from(["mara", "noor", "ola"])
labels = st.none() | st.sampled_from(NAMES[:4])


@dataclass(eq=False)
class Entry:
    """An entry of the log; `target` is the one that it took back."""

    row: Picture
    by: str
    batch: str | None
    counted: str
    before: str | None
    after: str | None
    note: str | None = None
    target: Entry | None = None
    taken_back: bool = False

    def take_back(self) -> None:
        self.taken_back = True
        if self.target is not None:
            self.target.stand_again()

    def stand_again(self) -> None:
        self.taken_back = False
        if self.target is not None:
            self.target.take_back()


@dataclass(eq=False)
class Picture:
    """A row."""

    id: int
    path: str
    model_label: str
    bytes: int = 0
    human: str | None = None
    entries: list[Entry] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.human or self.model_label

    def add(
        self,
        by: str,
        label: str | None,
        *,
        batch: str | None,
        note: str | None = None,
        target: Entry | None = None,
    ) -> Entry:
        entry = Entry(self, by, batch, self.label, self.human, label, note, target)
        self.entries.append(entry)
        self.human = label
        return entry

    def stands_after(self, entry: Entry) -> Entry | None:
        """The newest later entry that an undo of `entry` must not touch."""
        place = self.entries.index(entry)
        later = self.entries[place + 1 :]
        standing = [
            other
            for other in later
            if not other.taken_back and (other.target is None or other.target not in later)
        ]
        return standing[-1] if standing else None


class People(RuleBasedStateMachine):
    """Several people, a model that labels again, and a catalogue."""

    def __init__(self, store: Catalogue) -> None:
        super().__init__()
        self.store = store
        self.pictures: dict[int, Picture] = {}
        self.batches: dict[str, list[Entry]] = {}
        self.looks: dict[str, dict[int, str]] = {}
        self.began: datetime | None = None

    @initialize()
    def empty_log(self) -> None:
        with writing(self.store.engine) as connection:
            connection.execute(sa.delete(table))
        put(self.store, [labelled(path) for path in PATHS])
        for row in rows(self.store.engine, Filter()):
            self.pictures[row.id] = Picture(row.id, row.path, str(row.model_label))
        for person in ("mara", "noor", "ola"):
            self.looks[person] = {row.id: row.label for row in self.pictures.values()}

    def added(self, done: Done, made: list[Entry]) -> None:
        """The action added these entries, under a new batch id if there are any."""
        assert done.changed == len(made)
        assert bool(done.batch) == bool(made)
        if made:
            assert done.batch not in self.batches
            self.batches[done.batch] = made
            for entry in made:
                entry.batch = done.batch

    @rule(by=people)
    def look(self, by: str) -> None:
        self.looks[by] = {row.id: row.label for row in self.pictures.values()}

    @rule(by=people, chosen=st.dictionaries(st.integers(0, len(PATHS) - 1), labels, min_size=1))
    def choose(self, by: str, chosen: dict[int, str | None]) -> None:
        ids = sorted(self.pictures)
        wanted = {ids[number]: label for number, label in chosen.items()}
        seen = self.looks[by]
        choices = [Choice(row_id, label, seen[row_id]) for row_id, label in wanted.items()]
        done = correct(self.store.engine, choices, by)
        made, refused = [], {}
        for row_id, label in wanted.items():
            row = self.pictures[row_id]
            if row.human == label:
                continue
            if row.label in (seen[row_id], label):
                made.append(row.add(by, label, batch=None))
            else:
                last = row.entries[-1].by if row.entries else None
                refused[row_id] = (row.path, seen[row_id], row.label, last)
        self.added(done, made)
        assert {r.id: (r.path, r.seen, r.found, r.by) for r in done.refused} == refused
        assert done.unchanged == len(wanted) - len(made) - len(refused)

    @rule(by=people, of=st.sampled_from(NAMES[:4]), label=labels, more=st.sampled_from([0, 0, 1]))
    def relabel_all(self, by: str, of: str, label: str | None, more: int) -> None:
        found = [row for row in self.pictures.values() if row.label == of]
        wanted = Filter(label=of)
        if more:
            with pytest.raises(InvalidRecord, match="as confirmed"):
                correct_all(self.store.engine, wanted, label, by, len(found) + more)
            return
        done = correct_all(self.store.engine, wanted, label, by, len(found))
        self.added(done, [row.add(by, label, batch=None) for row in found if row.human != label])
        assert done.unchanged == len(found) - done.changed

    @rule(by=people, number=st.integers(0, len(PATHS) - 1), label=labels)
    def apply_sheet(self, by: str, number: int, label: str | None) -> None:
        row = self.pictures[sorted(self.pictures)[number]]
        done = apply(self.store.engine, [Correction(row.id, label, "sheet")], by)
        made = [] if row.human == label else [row.add(by, label, batch=None, note="sheet")]
        self.added(Done(done.batch, done.changed, done.unchanged), made)

    @precondition(lambda self: self.batches)
    @rule(by=people, data=st.data())
    def take_back(self, by: str, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(sorted(self.batches)))
        done = undo(self.store.engine, batch, by)
        made, refused = [], {}
        for entry in self.batches[batch]:
            row = entry.row
            standing = row.stands_after(entry)
            if entry.taken_back:
                continue
            if standing is None:
                made.append(row.add(by, entry.before, batch=None, target=entry))
                entry.take_back()
            else:
                refused[row.id] = (row.path, entry.after, row.label, standing.by)
        self.added(done, made)
        assert {r.id: (r.path, r.seen, r.found, r.by) for r in done.refused} == refused
        assert done.unchanged == len(self.batches[batch]) - len(made) - len(refused)

    @rule(
        number=st.integers(0, len(PATHS) - 1),
        label=st.sampled_from(NAMES[:4]),
        other_bytes=st.booleans(),
    )
    def model_labels_again(self, number: int, label: str, other_bytes: bool) -> None:
        row = self.pictures[sorted(self.pictures)[number]]
        row.bytes += other_bytes
        state = FileState(row.path, 10, 99.0)
        self.store.claim(CRAWL, [state], "me", LEASE_SECONDS, MODEL)
        content = f"hash of {row.path}" + f" {row.bytes}" * bool(row.bytes)
        fields = sandals(model_label=label)
        assert self.store.store(CRAWL, "me", MODEL, [labelled(row.path, fields, content)]) == 1
        if other_bytes and row.human is not None:
            entry = row.add(PROGRAM, None, batch=None, note=FILE_CHANGED)
            entry.counted = str(entry.before)
        row.model_label = label

    @invariant()
    def catalogue_equals_the_model(self) -> None:
        found = {row.id: (row.label, row.human_label) for row in rows(self.store.engine, Filter())}
        assert found == {row.id: (row.label, row.human) for row in self.pictures.values()}

    @invariant()
    def every_action_is_in_the_log(self) -> None:
        names = ("catalogue_id", "corrected_by", "batch", "from_label", "from_human_label")
        columns = [log.c[name] for name in (*names, "to_label", "note", "undoes", "corrected_at")]
        with reading(self.store.engine) as connection:
            entries = connection.execute(sa.select(*columns).order_by(log.c.id)).all()
        for row in self.pictures.values():
            assert [tuple(entry[1:8]) for entry in entries if entry[0] == row.id] == [
                (
                    *(e.by, e.batch, e.counted, e.before, e.after, e.note),
                    None if e.target is None else e.target.batch,
                )
                for e in row.entries
            ]
        times = [entry.corrected_at for entry in entries]
        assert None not in times
        assert times == sorted(times)

    @invariant()
    def batches_are_those_of_the_model(self) -> None:
        found = {b.batch: (b.by, b.rows, b.undone) for b in batches(self.store.engine, limit=1000)}
        assert list(found) == sorted(self.batches, reverse=True)
        assert found == {
            batch: (made[0].by, len(made), sum(entry.taken_back for entry in made))
            for batch, made in self.batches.items()
        }

    def teardown(self) -> None:
        assert check(self.store.engine) == []


@pytest.mark.slow
def test_random_actions_equal_a_python_model(store: Catalogue) -> None:
    few = store.engine.dialect.name == "postgresql"
    run_state_machine_as_test(
        lambda: People(store),
        settings=settings(
            max_examples=8 if few else 25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
