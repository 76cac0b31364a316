"""Corrections and relabelling: precedence of people, atomicity, switching back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from db import human_labels, relabelling
from db.catalogue import Catalogue
from db.check import check
from db.errors import InvalidRecord
from db.human_labels import Accuracy, Applied, Correction
from db.queries import Filter, count, rows
from db.records import FileState, Row
from db.session import reading, writing
from db.tables import corrections as log
from db.tables import label_history
from db.writes.registry import registered_models
from tests.db.samples import (
    CRAWL,
    LEASE_SECONDS,
    MODEL,
    OTHER_MODEL,
    SUNGLASSES,
    labelled,
    put,
    rejected,
    sandals,
)

BOOTS = "shoes/male/boots"


@pytest.fixture
def filled(store: Catalogue) -> Catalogue:
    """Rows 1 to 4: two sandals, sunglasses, a rejected picture."""
    names = ("/a", "/b", "/c", "/d")
    store.claim(CRAWL, [FileState(n) for n in names], "me", LEASE_SECONDS, MODEL)
    outcomes = [
        labelled("/a", sandals(confidence=0.97)),
        labelled("/b", sandals(confidence=0.4, margin=0.1, needs_review=True)),
        labelled("/c", SUNGLASSES),
        rejected("/d"),
    ]
    store.store(CRAWL, "me", MODEL, outcomes)
    return store


def by_path(store: Catalogue) -> dict[str, Row]:
    return {row.path: row for row in rows(store.engine, Filter())}


def logged(store: Catalogue) -> list[tuple[Any, ...]]:
    columns = (log.c.corrected_by, log.c.from_label, log.c.to_label, log.c.note)
    with reading(store.engine) as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(log.c.id))]


def test_one_wrong_correction_and_none_is_applied(filled: Catalogue) -> None:
    found = by_path(filled)
    a, b = found["/a"].id, found["/b"].id
    wrong = [
        Correction(a, BOOTS),
        Correction(b, "shoes/male/bots"),
        Correction(99, BOOTS),
        Correction(b, "shoes", path="/somewhere/else"),
    ]
    with pytest.raises(InvalidRecord) as caught:
        human_labels.apply(filled.engine, wrong, "mara")
    for part in ("nothing was applied", "no row 99", "shoes/male/bots", "'/b', not"):
        assert part in str(caught.value)
    with pytest.raises(InvalidRecord, match="twice"):
        human_labels.apply(filled.engine, [Correction(a, BOOTS), Correction(a, "shoes")], "mara")
    with pytest.raises(InvalidRecord, match="name of the person"):
        human_labels.apply(filled.engine, [Correction(a, BOOTS)], " ")
    assert logged(filled) == []
    assert by_path(filled) == found


def test_corrections_are_recorded_once_and_take_precedence(filled: Catalogue) -> None:
    a = by_path(filled)["/a"].id
    wanted = [Correction(a, "shoes-Male-boots", "look at the sole", path="/a")]
    assert human_labels.apply(filled.engine, wanted, "mara") == Applied(1, 0)
    assert human_labels.apply(filled.engine, wanted, "mara") == Applied(0, 1)
    assert logged(filled) == [("mara", "shoes/female/sandals", BOOTS, "look at the sole")]
    row = by_path(filled)["/a"]
    assert (row.label, row.human_label, row.model_label) == (BOOTS, BOOTS, "shoes/female/sandals")
    assert (row.category, row.gender, row.type) == ("shoes", "male", "boots")
    assert count(filled.engine, Filter(label="shoes/male/*")) == 1
    assert count(filled.engine, Filter(label="*sandals")) == 1
    with reading(filled.engine) as connection:
        view = connection.execute(
            sa.text("SELECT label, gender, labelled_by FROM catalogue_labels WHERE path = '/a'")
        ).one()
    assert tuple(view) == (BOOTS, "male", "human")
    assert human_labels.apply(filled.engine, [Correction(a, None)], "mara") == Applied(1, 0)
    assert count(filled.engine, Filter(label="shoes/male/*")) == 0
    assert check(filled.engine) == []


def test_confirmed_row_needs_no_review(filled: Catalogue) -> None:
    assert count(filled.engine, Filter(needs_review=True)) == 2
    b = by_path(filled)["/b"].id
    human_labels.apply(filled.engine, [Correction(b, "shoes/female/sandals")], "mara")
    assert count(filled.engine, Filter(needs_review=True)) == 1


def test_accuracy_on_corrected_rows(filled: Catalogue) -> None:
    found = by_path(filled)
    said = {"/a": "shoes/female/sandals", "/b": BOOTS, "/c": "glasses/sunglasses"}
    wanted = [Correction(found[path].id, label) for path, label in said.items()]
    human_labels.apply(filled.engine, wanted, "mara")
    assert human_labels.accuracy(filled.engine) == [
        Accuracy("all", "all", 3, 2, 2),
        Accuracy("label", "glasses/sunglasses", 1, 1, 1),
        Accuracy("label", "shoes/female/sandals", 1, 1, 1),
        Accuracy("label", BOOTS, 1, 0, 0),
        Accuracy("confidence", "0.00-0.50", 1, 0, 0),
        Accuracy("confidence", "0.50-0.70", 1, 1, 1),
        Accuracy("confidence", "0.95-0.99", 1, 1, 1),
    ]


def test_ancestor_of_the_human_label_is_right(store: Catalogue) -> None:
    stops = {"shoes": "shoes", "shoes/male": "shoes", "glasses": "glasses"}
    made = [
        labelled(f"/{label}", sandals(model_label=label, category=category, confidence=0.99))
        for label, category in stops.items()
    ]
    put(store, made)
    said = [Correction(row.id, "shoes/female/sandals") for row in by_path(store).values()]
    human_labels.apply(store.engine, said, "mara")
    assert human_labels.accuracy(store.engine)[0] == Accuracy("all", "all", 3, 1, 0)


def relabel(store: Catalogue, wanted: Filter, model: str, paths: list[str]) -> None:
    """Select rows, and let `model` label these paths as boots."""
    relabelling.begin(store.engine, wanted, model)
    relabels = relabelling.open_relabels(store.engine)
    files = [FileState(path) for path in paths]
    claim = relabels.claim(CRAWL, files, "me", LEASE_SECONDS, model, reopen=False)
    boots = sandals(model_label=BOOTS, best_leaf=BOOTS, gender="male", type="boots")
    outcomes = [labelled(file.path, boots) for file in claim.todo]
    relabels.store(CRAWL, "me", model, outcomes)


def test_relabelling_changes_nothing_before_promotion_and_can_be_reverted(
    filled: Catalogue,
) -> None:
    before = by_path(filled)
    human_labels.apply(filled.engine, [Correction(before["/b"].id, "shoes")], "mara")
    before = by_path(filled)
    assert relabelling.begin(filled.engine, Filter(category="shoes"), OTHER_MODEL) == 2
    relabel(filled, Filter(category="shoes"), OTHER_MODEL, ["/a"])
    assert relabelling.counts(filled.engine, OTHER_MODEL)["pending"] == 1  # half done, visible
    relabel(filled, Filter(category="shoes"), OTHER_MODEL, ["/a", "/b"])
    assert by_path(filled) == before
    assert [
        (f.old, f.new, f.rows, sorted(f.samples))
        for f in relabelling.label_changes(filled.engine, OTHER_MODEL)
    ] == [("shoes/female/sandals", BOOTS, 2, ["/a", "/b"])]
    assert relabelling.promote(filled.engine, OTHER_MODEL) == 2
    assert relabelling.promote(filled.engine, OTHER_MODEL) == 0
    after = by_path(filled)
    assert (after["/a"].label, after["/a"].model_version) == (BOOTS, OTHER_MODEL)
    assert (after["/b"].label, after["/b"].model_label) == ("shoes", BOOTS)
    assert after["/c"] == before["/c"]
    assert relabelling.begin(filled.engine, Filter(category="shoes"), OTHER_MODEL) == 0
    assert relabelling.use(filled.engine, MODEL) == 2
    again = by_path(filled)
    assert (again["/a"].label, again["/a"].confidence) == ("shoes/female/sandals", 0.97)
    with reading(filled.engine) as connection:
        assert [m.version for m in registered_models(connection) if m.in_use] == [MODEL]
        kept = connection.execute(
            sa.select(label_history.c.model_label, label_history.c.model_version)
        )
        assert sorted(tuple(row) for row in kept) == [
            ("shoes/female/sandals", MODEL),
            ("shoes/female/sandals", MODEL),
            (BOOTS, OTHER_MODEL),
            (BOOTS, OTHER_MODEL),
        ]
    assert check(filled.engine) == []


def test_row_with_changed_bytes_is_not_promoted(filled: Catalogue) -> None:
    relabel(filled, Filter(category="shoes"), OTHER_MODEL, ["/a"])
    with writing(filled.engine) as connection:
        connection.execute(sa.text("UPDATE catalogue SET content_hash = 'x' WHERE path = '/a'"))
    assert relabelling.promote(filled.engine, OTHER_MODEL) == 0
    assert by_path(filled)["/a"].model_version == MODEL


def test_discard_leaves_the_catalogue_unchanged(filled: Catalogue) -> None:
    before = by_path(filled)
    relabel(filled, Filter(), OTHER_MODEL, ["/a"])
    assert relabelling.discard(filled.engine, OTHER_MODEL) == 3
    assert relabelling.promote(filled.engine, OTHER_MODEL) == 0
    assert by_path(filled) == before


def test_one_model_is_in_use_with_start_and_end(store: Catalogue) -> None:
    def used() -> list[tuple[str, bool]]:
        with reading(store.engine) as connection:
            return [
                (m.version, m.in_use_until is None)
                for m in registered_models(connection)
                if m.in_use
            ]

    assert used() == []
    store.put_in_use(MODEL, only_if_none=True)
    store.put_in_use(OTHER_MODEL, only_if_none=True)
    assert used() == [(MODEL, True)]
    with reading(store.engine) as connection:
        since = registered_models(connection)[0].in_use_since
    store.put_in_use(MODEL)
    with reading(store.engine) as connection:
        assert registered_models(connection)[0].in_use_since == since
    store.put_in_use(OTHER_MODEL)
    assert used() == [(OTHER_MODEL, True)]
    with reading(store.engine) as connection:
        old, _ = registered_models(connection)
    assert since is not None
    assert old.in_use_until is not None
    assert old.in_use_until >= since


def test_models_are_compared_on_corrected_rows(filled: Catalogue) -> None:
    found = by_path(filled)
    said = [Correction(found[path].id, "shoes/male/boots") for path in ("/a", "/b")]
    human_labels.apply(filled.engine, said, "mara")
    none = Accuracy("model", OTHER_MODEL, 0, 0, 0)
    assert human_labels.accuracy_of_model(filled.engine, OTHER_MODEL) == none
    relabel(filled, Filter(category="shoes"), OTHER_MODEL, ["/a"])
    waiting = Accuracy("model", OTHER_MODEL, 1, 1, 1)
    assert human_labels.accuracy_of_model(filled.engine, OTHER_MODEL) == waiting
    assert human_labels.accuracy_of_model(filled.engine, MODEL) == Accuracy("model", MODEL, 2, 0, 0)
    relabelling.promote(filled.engine, OTHER_MODEL)
    assert human_labels.accuracy_of_model(filled.engine, OTHER_MODEL) == waiting
    assert human_labels.accuracy_of_model(filled.engine, MODEL) == Accuracy("model", MODEL, 2, 0, 0)


def test_unknown_model_cannot_be_used(filled: Catalogue) -> None:
    with pytest.raises(InvalidRecord, match="model-1, model-2"):
        relabelling.use(filled.engine, "model-3")


def test_human_label_survives_another_model_but_not_other_bytes(filled: Catalogue) -> None:
    a = by_path(filled)["/a"].id
    human_labels.apply(filled.engine, [Correction(a, BOOTS)], "mara")
    filled.claim(CRAWL, [FileState("/a", 10, 9.0)], "me", LEASE_SECONDS, OTHER_MODEL)
    filled.store(CRAWL, "me", OTHER_MODEL, [labelled("/a")])
    assert by_path(filled)["/a"].human_label == BOOTS
    filled.claim(CRAWL, [FileState("/a", 11, 10.0)], "me", LEASE_SECONDS, OTHER_MODEL)
    filled.store(CRAWL, "me", OTHER_MODEL, [labelled("/a", content_hash="other bytes")])
    assert by_path(filled)["/a"].human_label is None
    assert logged(filled)[-1] == ("fashion-cascade", BOOTS, None, "the file's bytes changed")


def test_copy_of_a_corrected_picture_gets_the_parts_of_the_models_label(filled: Catalogue) -> None:
    """Its bytes were labelled before, so the label is copied: the model's, not the person's."""
    row = by_path(filled)["/a"]
    human_labels.apply(filled.engine, [Correction(row.id, BOOTS)], "mara")
    fields = filled.labels_by_hash([str(row.content_hash)], MODEL)[str(row.content_hash)]
    assert (fields.model_label, fields.gender, fields.type) == (
        "shoes/female/sandals",
        "female",
        "sandals",
    )


def test_history_of_a_corrected_picture_has_the_parts_of_the_models_label(
    filled: Catalogue,
) -> None:
    row = by_path(filled)["/a"]
    human_labels.apply(filled.engine, [Correction(row.id, BOOTS)], "mara")
    filled.claim(CRAWL, [FileState("/a", 99, 9.0)], "me", 60, OTHER_MODEL)
    with reading(filled.engine) as connection:
        columns = (label_history.c[name] for name in ("model_label", "gender", "type"))
        assert [tuple(row) for row in connection.execute(sa.select(*columns))] == [
            ("shoes/female/sandals", "female", "sandals")
        ]
    pending = by_path(filled)["/a"]
    assert (pending.label, pending.model_label, pending.gender) == (BOOTS, None, "male")


def test_withdrawn_correction_restores_the_parts_of_the_models_label(filled: Catalogue) -> None:
    row = by_path(filled)["/a"]
    for label in (BOOTS, None):
        human_labels.apply(filled.engine, [Correction(row.id, label)], "mara")
    assert by_path(filled)["/a"] == replace(row, updated_at=by_path(filled)["/a"].updated_at)
