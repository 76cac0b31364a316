"""Drawing and keeping audits, on each database."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import sqlalchemy as sa

from db import audits, schema
from db.catalogue import Catalogue
from db.errors import InvalidQuery, InvalidRecord
from db.housekeeping import forget
from db.human_labels import Correction, apply
from db.queries import Filter, count, page, rows
from db.session import reading
from tests.db.samples import CRAWL, MODEL, OTHER_MODEL, SANDALS, SUNGLASSES, labelled, put, sandals

UNSURE = replace(SUNGLASSES, needs_review=True)


def fill(store: Catalogue, sure: int = 30, unsure: int = 10) -> None:
    put(store, [labelled(f"/s{n}", sandals(confidence=0.5 + n / 100)) for n in range(sure)])
    put(store, [labelled(f"/u{n}", UNSURE) for n in range(unsure)])


def plan(store: Catalogue, seed: int = 1, **changes: object) -> audits.Plan:
    version, population = audits.counted(store.engine, CRAWL, None, (0.6, 0.55))
    made = audits.Plan(
        CRAWL, version, seed, {audits.ALL: 12}, tuple(population), 0.98, 0.95, (0.6, 0.0)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_labels_are_counted_by_confidence(store: Catalogue) -> None:
    fill(store)
    put(store, [labelled("/elsewhere")], crawl="autumn")
    version, found = audits.counted(store.engine, CRAWL, None, (0.6, 0.55))
    assert version == MODEL
    assert found == [
        audits.Counted("glasses/sunglasses", False, 10, (10, 10)),
        audits.Counted("shoes/female/sandals", True, 30, (20, 25)),
    ]


def test_sample_is_recorded_before_anybody_looks_and_stays(store: Catalogue) -> None:
    fill(store)
    made = audits.start(store.engine, plan(store), "mara")
    assert (made.number, made.size, made.started_by, made.report) == (1, 12, "mara", None)
    drawn = list(audits.pictures(store.engine, made.id))
    assert len({one.id for one in drawn}) == 12 and not any(one.extra for one in drawn)
    chosen = {one.id for one in drawn}
    sample = Filter(audit=str(made.id))
    assert {row.id for row in rows(store.engine, sample)} == chosen
    assert {row.id for row in page(store.engine, sample, limit=50).rows} == chosen
    assert count(store.engine, sample) == 12
    assert count(store.engine, Filter(audit="x")) == count(store.engine, Filter(audit="99")) == 0
    # a later model and an answer change the row, not what was drawn
    first = drawn[0]
    assert first.id is not None and first.path is not None
    apply(store.engine, [Correction(first.id, "shoes/male/boots")], "mara")
    put(store, [labelled(first.path, replace(SANDALS, confidence=0.2))], OTHER_MODEL)
    again = next(audits.pictures(store.engine, made.id))
    assert (again.label, again.confidence) == (first.label, first.confidence)
    assert again.human_label == "shoes/male/boots"
    assert [one.plan for one in audits.audits(store.engine, CRAWL)] == [made.plan]


def test_seed_decides_the_sample_and_every_row_is_as_likely(store: Catalogue) -> None:
    fill(store)

    def ids(seed: int) -> list[int | None]:
        made = audits.start(store.engine, plan(store, seed), "mara")
        return [one.id for one in audits.pictures(store.engine, made.id)]

    assert ids(1) == ids(1)
    often = Counter(row for seed in range(60) for row in ids(seed))
    assert len(often) == 40
    # 18 of 60 are expected, with a standard deviation of 3.5
    assert min(often.values()) >= 1 and max(often.values()) <= 36


def test_strata_have_their_own_sizes_and_extra_pictures(store: Catalogue) -> None:
    fill(store)
    sizes = {
        audits.key("shoes/female/sandals", sure=True): 9,
        audits.key("glasses/sunglasses", sure=False): 5,
    }
    shares = {audits.key("glasses/sunglasses", sure=False): 3}
    made = audits.start(store.engine, plan(store, sizes=sizes, shares=shares), "mara")
    assert made.stratified
    drawn = Counter((one.label, one.extra) for one in audits.pictures(store.engine, made.id))
    assert drawn == {
        ("shoes/female/sandals", False): 9,
        ("glasses/sunglasses", False): 3,
        ("glasses/sunglasses", True): 2,
    }
    only_sure = plan(store, sizes={audits.ALL_SURE: 100})
    made = audits.start(store.engine, only_sure, "mara")
    assert made.size == 30 and not made.stratified


def test_a_second_audit_of_the_same_labels_has_to_reach_more(store: Catalogue) -> None:
    fill(store)
    first, second, third = (audits.start(store.engine, plan(store, n), "mara") for n in range(3))
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert first.judged_at == 0.95
    assert second.judged_at == pytest.approx(0.975)
    assert third.judged_at == pytest.approx(0.9875)
    assert audits.latest(store.engine, CRAWL).id == third.id
    assert audits.latest(store.engine, CRAWL, first.id).id == first.id


def test_reports_are_kept_and_go_with_their_crawl(store: Catalogue) -> None:
    fill(store)
    made = audits.start(store.engine, plan(store), "mara")
    audits.keep_report(store.engine, made.id, {"summary": ["Certified"]})
    (kept,) = audits.audits(store.engine)
    assert kept.report == {"summary": ["Certified"]} and kept.reported_at is not None
    one = next(audits.pictures(store.engine, made.id))
    assert one.path is not None
    forget(store.engine, "path", one.path, by="mara")
    assert next(audits.pictures(store.engine, made.id)).id is None  # it counts as a mistake
    forget(store.engine, "crawl", CRAWL, by="mara")
    assert audits.audits(store.engine) == []
    with reading(store.engine) as connection:
        left = connection.execute(sa.text("SELECT count(*) FROM audit_pictures")).scalar()
    assert left == 0


def test_what_cannot_be_audited_is_refused(store: Catalogue) -> None:
    with pytest.raises(InvalidQuery, match="no labelled picture"):
        audits.counted(store.engine, CRAWL)
    fill(store)
    put(store, [labelled("/later")], OTHER_MODEL)
    with pytest.raises(InvalidQuery, match=r"model-1 \(40 rows\), model-2 \(1 rows\)"):
        audits.counted(store.engine, CRAWL)
    assert audits.counted(store.engine, CRAWL, OTHER_MODEL)[0] == OTHER_MODEL
    with pytest.raises(InvalidQuery, match="received 'other'"):
        audits.counted(store.engine, CRAWL, "other")
    with pytest.raises(InvalidQuery, match="audit start spring"):
        audits.latest(store.engine, CRAWL)
    version, population = audits.counted(store.engine, CRAWL, OTHER_MODEL)
    nothing = audits.Plan(CRAWL, version, 1, {}, tuple(population), 0.98, 0.95, (0.0,))
    with pytest.raises(InvalidQuery, match="no label to draw"):
        audits.start(store.engine, nothing, "mara")
    with pytest.raises(InvalidRecord, match="name of the person"):
        audits.start(store.engine, nothing, " ")


def test_audits_survive_neither_a_downgrade_nor_break_it(store: Catalogue) -> None:
    fill(store)
    audits.start(store.engine, plan(store), "mara")
    schema.downgrade(store.engine, "0010")
    schema.upgrade(store.engine)
    assert audits.audits(store.engine) == []
