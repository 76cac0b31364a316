"""The page's writes on both databases: choices, whole filters, undo, people at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db.catalogue import Catalogue
from db.check import check
from db.corrections import (
    Choice,
    Done,
    Progress,
    batches,
    correct,
    correct_all,
    corrected_products,
    progress,
    undo,
)
from db.errors import InvalidRecord
from db.housekeeping import forget
from db.human_labels import Correction, apply
from db.queries import Filter, Row, count, rows
from db.records import FileState, PendingRow
from db.session import make_engine, reading, writing
from db.tables import catalogue as table
from db.tables import corrections as log
from tests.db.samples import (
    CRAWL,
    LABELS,
    LEASE_SECONDS,
    MODEL,
    OTHER_MODEL,
    SUNGLASSES,
    labelled,
    put,
    register,
    rejected,
    sandals,
)

SANDALS, BOOTS, HEELS = "shoes/female/sandals", "shoes/male/boots", "shoes/female/high_heels"
LABELS_IN_TURN = [entry.label for entry in LABELS]
PEOPLE = 8


@pytest.fixture
def filled(store: Catalogue) -> Catalogue:
    """Two sandals, of which one is doubtful, sunglasses, a rejected picture."""
    doubtful = sandals(confidence=0.4, margin=0.1, needs_review=True)
    made = [labelled("/a"), labelled("/b", doubtful), labelled("/c", SUNGLASSES), rejected("/d")]
    put(store, made)
    return store


def at(store: Catalogue, path: str) -> Row:
    (row,) = rows(store.engine, Filter(path=path))
    return row


def human(store: Catalogue) -> dict[str, str | None]:
    return {row.path: row.human_label for row in rows(store.engine, Filter())}


def logged(store: Catalogue) -> list[tuple[Any, ...]]:
    names = ("corrected_by", "from_label", "from_human_label", "to_label", "batch", "undoes")
    query = sa.select(*(log.c[name] for name in names)).order_by(log.c.id)
    with reading(store.engine) as connection:
        return [tuple(row) for row in connection.execute(query)]


def choose(store: Catalogue, path: str, label: str | None, by: str = "mara") -> Done:
    row = at(store, path)
    return correct(store.engine, [Choice(row.id, label, row.label)], by)


def test_choices_are_one_batch_with_the_labels_before(filled: Catalogue) -> None:
    a, b = at(filled, "/a"), at(filled, "/b")
    chosen = [Choice(a.id, "shoes-Male-boots", SANDALS), Choice(b.id, SANDALS, SANDALS)]
    done = correct(filled.engine, chosen, "mara", "looked twice")
    assert (done.changed, done.unchanged, done.refused) == (2, 0, ())
    assert correct(filled.engine, chosen, "mara") == Done("", 0, 2)
    second = choose(filled, "/a", None, "noor")
    assert logged(filled) == [
        ("mara", SANDALS, None, BOOTS, done.batch, None),
        ("mara", SANDALS, None, SANDALS, done.batch, None),
        ("noor", BOOTS, BOOTS, None, second.batch, None),
    ]
    assert done.batch < second.batch
    assert check(filled.engine) == []


def test_a_label_that_nobody_saw_is_refused_and_stays(filled: Catalogue) -> None:
    a, c = at(filled, "/a"), at(filled, "/c")
    choose(filled, "/a", BOOTS, "noor")
    late = [Choice(a.id, HEELS, SANDALS), Choice(c.id, "glasses/optical", c.label)]
    done = correct(filled.engine, late, "mara")
    assert (done.changed, done.unchanged) == (1, 0)
    (refused,) = done.refused
    assert (refused.id, refused.path, refused.seen, refused.found, refused.by) == (
        *(a.id, "/a", SANDALS, BOOTS),
        "noor",
    )
    assert refused.at is not None
    assert at(filled, "/a").human_label == BOOTS
    # the same label from both: nothing to refuse
    assert correct(filled.engine, [Choice(a.id, BOOTS, SANDALS)], "mara") == Done("", 0, 1)


def test_a_model_that_labelled_meanwhile_is_named_as_nobody(filled: Catalogue) -> None:
    a = at(filled, "/a")
    filled.claim(CRAWL, [FileState("/a", 10, 9.0)], "me", LEASE_SECONDS, OTHER_MODEL)
    filled.store(CRAWL, "me", OTHER_MODEL, [labelled("/a", SUNGLASSES)])
    (refused,) = correct(filled.engine, [Choice(a.id, BOOTS, SANDALS)], "mara").refused
    assert (refused.found, refused.by, refused.at) == ("glasses/sunglasses", None, None)
    # what the model says now is what was chosen: the person confirms it
    assert (
        correct(filled.engine, [Choice(a.id, "glasses/sunglasses", SANDALS)], "mara").changed == 1
    )


def test_one_wrong_choice_and_nothing_is_recorded(filled: Catalogue) -> None:
    a = at(filled, "/a").id
    good = Choice(at(filled, "/b").id, BOOTS, SANDALS)
    wrong: list[tuple[list[Choice], str, str]] = [
        ([good, Choice(a, "shoes/male/bots", SANDALS)], "mara", "did you mean shoes/male/boots"),
        ([good, Choice(10**9, BOOTS, None)], "mara", "there is no row 1000000000"),
        ([good, Choice(a, BOOTS, SANDALS), Choice(a, HEELS, SANDALS)], "mara", "twice"),
        ([good], " ", "name of the person"),
        ([good], "a\0b", "without NUL"),
    ]
    for choices, by, message in wrong:
        with pytest.raises(InvalidRecord, match=message):
            correct(filled.engine, choices, by)
    with pytest.raises(InvalidRecord, match="label of the taxonomy"):
        correct_all(filled.engine, Filter(), "shoes/*", "mara", 4)
    with pytest.raises(InvalidRecord, match="review batches"):
        undo(filled.engine, "20260101", "mara")
    assert logged(filled) == []


def test_all_rows_of_a_filter_get_a_label_if_their_number_is_the_confirmed_one(
    filled: Catalogue,
) -> None:
    wanted = Filter(label="shoes/*")
    choose(filled, "/a", BOOTS)
    with pytest.raises(
        InvalidRecord, match="expected 3 rows of this filter, as confirmed, found 2"
    ):
        correct_all(filled.engine, wanted, BOOTS, "noor", 3)
    assert len(logged(filled)) == 1
    done = correct_all(filled.engine, wanted, "shoes-male-boots", "noor", 2, note="all of them")
    assert (done.changed, done.unchanged, done.refused) == (1, 1, ())
    assert human(filled) == {"/a": BOOTS, "/b": BOOTS, "/c": None, "/d": None}
    assert logged(filled)[1:] == [("noor", SANDALS, None, BOOTS, done.batch, None)]
    assert correct_all(filled.engine, wanted, BOOTS, "noor", 2) == Done("", 0, 2)
    withdrawn = correct_all(filled.engine, wanted, None, "noor", 2)
    assert (withdrawn.changed, human(filled)["/a"]) == (2, None)
    assert correct_all(filled.engine, Filter(crawl="none"), BOOTS, "noor", 0) == Done("", 0, 0)
    assert check(filled.engine) == []


def test_undo_goes_back_to_the_former_human_label_and_can_be_undone(filled: Catalogue) -> None:
    choose(filled, "/a", HEELS, "noor")
    before = human(filled)
    done = correct_all(filled.engine, Filter(label="shoes/*"), BOOTS, "mara", 2)
    after = human(filled)
    back = undo(filled.engine, done.batch, "mara")
    assert (back.changed, back.unchanged, back.refused) == (2, 0, ())
    assert human(filled) == before
    assert set(logged(filled)[-2:]) == {
        ("mara", BOOTS, BOOTS, HEELS, back.batch, done.batch),
        ("mara", BOOTS, BOOTS, None, back.batch, done.batch),
    }
    assert undo(filled.engine, done.batch, "noor") == Done("", 0, 2)
    again = undo(filled.engine, back.batch, "noor")
    assert (again.changed, human(filled)) == (2, after)
    assert undo(filled.engine, back.batch, "noor") == Done("", 0, 2)
    assert undo(filled.engine, done.batch, "mara").changed == 2  # the action stands again
    assert human(filled) == before
    assert check(filled.engine) == []


def test_undo_refuses_rows_that_were_corrected_since(filled: Catalogue) -> None:
    done = correct_all(filled.engine, Filter(label="shoes/*"), BOOTS, "mara", 2)
    later = choose(filled, "/b", HEELS, "noor")
    back = undo(filled.engine, done.batch, "mara")
    assert (back.changed, back.unchanged) == (1, 0)
    (refused,) = back.refused
    assert (refused.path, refused.seen, refused.found, refused.by) == ("/b", BOOTS, HEELS, "noor")
    assert human(filled) == {"/a": None, "/b": HEELS, "/c": None, "/d": None}
    undo(filled.engine, later.batch, "noor")
    rest = undo(filled.engine, done.batch, "mara")
    assert (rest.changed, rest.unchanged, rest.refused) == (1, 1, ())
    assert human(filled)["/b"] is None


def test_undo_refuses_a_row_that_got_the_same_label_again_by_another_way(filled: Catalogue) -> None:
    """noor's decision stands, though the label is the one that mara's action gave."""
    done = choose(filled, "/a", BOOTS, "mara")
    choose(filled, "/a", HEELS, "noor")
    choose(filled, "/a", BOOTS, "noor")
    back = undo(filled.engine, done.batch, "mara")
    assert (back.changed, [refused.by for refused in back.refused]) == (0, ["noor"])
    assert at(filled, "/a").human_label == BOOTS


def test_undo_refuses_a_row_whose_file_has_other_bytes(filled: Catalogue) -> None:
    done = choose(filled, "/a", BOOTS, "mara")
    filled.claim(CRAWL, [FileState("/a", 11, 10.0)], "me", LEASE_SECONDS, MODEL)
    filled.store(CRAWL, "me", MODEL, [labelled("/a", content_hash="other bytes")])
    back = undo(filled.engine, done.batch, "mara")
    assert [refused.by for refused in back.refused] == ["fashion-cascade"]
    assert logged(filled)[-1] == ("fashion-cascade", BOOTS, BOOTS, None, None, None)


def test_own_corrections_are_undone_in_reverse_order(filled: Catalogue) -> None:
    first, second = choose(filled, "/a", BOOTS), choose(filled, "/a", HEELS)
    assert undo(filled.engine, first.batch, "mara").refused[0].by == "mara"
    assert undo(filled.engine, second.batch, "mara").changed == 1
    assert undo(filled.engine, first.batch, "mara").changed == 1
    # not in the middle of what was taken back
    back = logged(filled)[2][4]
    assert undo(filled.engine, back, "mara").refused[0].found == SANDALS
    assert at(filled, "/a").human_label is None


def test_apply_gives_a_batch_that_can_be_undone(filled: Catalogue) -> None:
    a = at(filled, "/a").id
    done = apply(filled.engine, [Correction(a, BOOTS)], "mara")
    assert apply(filled.engine, [Correction(a, BOOTS)], "mara").batch == ""
    assert undo(filled.engine, done.batch, "noor").changed == 1
    assert at(filled, "/a").human_label is None


def test_batches_are_listed_newest_first_with_what_is_undone(filled: Catalogue) -> None:
    a, b = at(filled, "/a"), at(filled, "/b")
    chosen = [Choice(a.id, BOOTS, SANDALS), Choice(b.id, HEELS, SANDALS)]
    done = correct(filled.engine, [*chosen, Choice(at(filled, "/d").id, BOOTS, None)], "mara")
    choose(filled, "/b", BOOTS, "noor")
    back = undo(filled.engine, done.batch, "mara")

    def listed(by: str | None = None) -> list[tuple[Any, ...]]:
        found = batches(filled.engine, by)
        return [(b.by, b.rows, b.labels, b.undone, b.undoes) for b in found]

    expected = [
        ("mara", 2, (None,), 0, done.batch),
        ("noor", 1, (BOOTS,), 0, None),
        ("mara", 3, (BOOTS, HEELS), 2, None),
    ]
    assert listed() == expected
    assert listed("noor") == [expected[1]]
    assert [b.batch for b in batches(filled.engine, limit=1)] == [back.batch]
    undo(filled.engine, back.batch, "noor")
    assert [item[3] for item in listed()] == [0, 2, 0, 0]


def test_progress_without_the_number_of_all_rows_if_counting_takes_too_long(tmp_path: Path) -> None:
    """SQLite looks at the clock after 1000 steps: one corrected row takes fewer, 3000 rows more."""
    store = register(Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}"))
    put(store, [labelled(f"/{number}") for number in range(3000)])
    first = next(iter(rows(store.engine, Filter())))
    correct(store.engine, [Choice(first.id, BOOTS, first.label)], "mara")
    for wanted in (Filter(min_margin=0.1), Filter(needs_review=False)):
        assert progress(store.engine, wanted, seconds=0.0) == Progress(1, None, 1)
        assert progress(store.engine, wanted) == Progress(1, 3000, 1)
    store.close()


def test_products_of_corrections_are_counted_up_to_a_number(store: Catalogue) -> None:
    """Shop and product id, or else the bytes; what is not labelled or not corrected is none."""
    products = {  # path: (shop, product id, bytes)
        "/a1": ("s", "1", "a"),
        "/a2": ("s", "1", "b"),  # another view
        "/b": ("s", "2", "c"),
        "/c": ("t", "1", "d"),  # another shop's
        "/d1": ("t", None, "e"),
        "/d2": ("t", None, "e"),
        "/e": ("t", None, "1"),
        "/f": ("t", "9", "f"),  # not corrected
    }
    for path, (shop, product, _) in products.items():
        crawl = "t crawl" if shop == "t" else CRAWL
        store.add_pending(crawl, [PendingRow(path, shop=shop, product_id=product)], None)
        store.store(crawl, "me", MODEL, [labelled(path, content_hash=products[path][2])])
    put(store, [rejected("/g")])
    chosen = [Choice(row.id, BOOTS, row.label) for row in rows(store.engine, Filter())]
    chosen = [choice for choice in chosen if choice.id not in _ids(store, "/f")]
    correct(store.engine, chosen, "mara")
    assert corrected_products(store.engine, Filter(), 100) == 5
    assert corrected_products(store.engine, Filter(), 4) == 4
    assert corrected_products(store.engine, Filter(crawl="t crawl", label="x"), 100) == 3
    assert corrected_products(store.engine, Filter(shop="s", needs_review=True), 100) == 2
    assert corrected_products(store.engine, Filter(shop="nobody's"), 100) == 0


def _ids(store: Catalogue, path: str) -> list[int]:
    return [row.id for row in rows(store.engine, Filter(path=path))]


def test_progress_counts_what_left_the_filter_by_being_corrected(filled: Catalogue) -> None:
    assert progress(filled.engine, Filter(needs_review=True)) == Progress(0, 2, 0)
    choose(filled, "/b", BOOTS)
    done = choose(filled, "/c", "glasses/optical")
    assert count(filled.engine, Filter(needs_review=True)) == 0
    assert progress(filled.engine, Filter(needs_review=True)) == Progress(2, 2, 2)
    assert progress(filled.engine, Filter(needs_review=False, corrected=False)) == Progress(0, 1, 0)
    assert progress(filled.engine, Filter(crawl=CRAWL)) == Progress(2, 4, 2)
    undo(filled.engine, done.batch, "mara")
    with writing(filled.engine) as connection:  # mara's correction of /b is two hours old
        old = sa.text("UPDATE corrections SET corrected_at = '2026-01-01 00:00:00+00:00'")
        if filled.engine.dialect.name == "sqlite":
            old = sa.text("UPDATE corrections SET corrected_at = '2026-01-01 00:00:00.000000'")
        connection.execute(old)
    assert progress(filled.engine, Filter(crawl=CRAWL)) == Progress(1, 4, 0)


def test_forget_takes_the_entries_of_a_batch_along(filled: Catalogue) -> None:
    done = correct_all(filled.engine, Filter(label="shoes/*"), BOOTS, "mara", 2)
    forget(filled.engine, "path", "/a", by="noor")
    assert [item.rows for item in batches(filled.engine)] == [1]
    assert undo(filled.engine, done.batch, "mara").changed == 1
    forget(filled.engine, "crawl", CRAWL, by="noor")
    assert batches(filled.engine) == []
    with pytest.raises(InvalidRecord, match="batch"):
        undo(filled.engine, done.batch, "mara")


def at_once(url: str, work: Callable[[Engine, int], Done]) -> list[Done]:
    """What `work` returns for each of `PEOPLE`, who begin together, each connected."""
    barrier = threading.Barrier(PEOPLE)

    def one(number: int) -> Done:
        engine = make_engine(url)
        try:
            with reading(engine) as connection:
                connection.execute(sa.text("SELECT 1"))
            barrier.wait(60)
            return work(engine, number)
        finally:
            engine.dispose()

    with ThreadPoolExecutor(PEOPLE) as pool:
        return list(pool.map(one, range(PEOPLE)))


def test_of_people_who_correct_a_row_at_once_one_wins(
    filled: Catalogue, catalogue_url: str
) -> None:
    a, b = at(filled, "/a"), at(filled, "/b")
    for start in range(5):
        before = at(filled, "/a").label
        seen = [(row.id, before) for row in (a, b)]
        # a first choice of the label that is already there changes nothing and is not refused
        turn = LABELS_IN_TURN[start:] + LABELS_IN_TURN[:start]
        labels = [name for name in turn if name != before]
        assert len(labels) >= PEOPLE
        found = at_once(catalogue_url, partial(choose_both, seen, labels))
        winners = [n for n, done in enumerate(found) if done.changed]
        won = at(filled, "/a").human_label
        assert len(winners) == 1, found
        assert at(filled, "/b").human_label == won == labels[winners[0]]
        for done in (done for n, done in enumerate(found) if n not in winners):
            losers = [(refused.found, refused.by) for refused in done.refused]
            assert losers == [(won, f"person {winners[0]}")] * 2
    assert check(filled.engine) == []


def choose_both(
    seen: list[tuple[int, str | None]], labels: list[str], engine: Engine, number: int
) -> Done:
    """Each person chooses another label for all rows, in ascending or descending order."""
    mine = seen if number % 2 else seen[::-1]
    chosen = [Choice(row_id, labels[number], label) for row_id, label in mine]
    return correct(engine, chosen, f"person {number}")


def test_of_people_who_undo_at_once_one_does(filled: Catalogue, catalogue_url: str) -> None:
    done = correct_all(filled.engine, Filter(label="shoes/*"), BOOTS, "mara", 2)
    found = at_once(catalogue_url, lambda engine, n: undo(engine, done.batch, f"person {n}"))
    assert sorted((each.changed, each.unchanged) for each in found) == [(0, 2)] * 7 + [(2, 0)]
    assert not any(each.refused for each in found)


def test_people_who_relabel_a_filter_at_once_leave_a_log_that_agrees_with_the_rows(
    store: Catalogue, catalogue_url: str
) -> None:
    put(store, [labelled(f"/{n}") for n in range(200)])
    labels = [BOOTS, HEELS, "shoes", "shoes/male"]

    def work(engine: Engine, number: int) -> Done:
        return correct_all(engine, Filter(crawl=CRAWL), labels[number % 4], f"p{number}", 200)

    found = at_once(catalogue_url, work)
    assert [done.changed + done.unchanged for done in found] == [200] * PEOPLE
    with reading(store.engine) as connection:
        newest = sa.select(sa.func.max(log.c.id)).group_by(log.c.catalogue_id)
        said = connection.execute(
            sa.select(table.c.human_label, log.c.to_label)
            .join_from(log, table, table.c.id == log.c.catalogue_id)
            .where(log.c.id.in_(newest))
        ).all()
        steps = connection.execute(
            sa.select(log.c.catalogue_id, log.c.from_human_label, log.c.to_label).order_by(log.c.id)
        ).all()
    assert len(said) == 200
    assert all(row == entry for row, entry in said)
    before: dict[int, str | None] = {}
    for row_id, old, new in steps:  # each entry begins where the one before ended
        assert before.get(row_id) == old
        before[row_id] = new
    assert check(store.engine) == []
