"""Random labelling, cancelling and "label again" equal a plain Python model of the statuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from db import ledger
from db.catalogue import Catalogue
from db.check import check
from db.errors import InvalidRecord
from db.queries import Filter
from db.records import FileState, Outcome, PendingRow
from db.session import reading, writing
from db.tables import catalogue as table
from tests.db.samples import DEAD_AT_ONCE, LEASE_SECONDS, MODEL, labelled, rejected

CRAWLS = ["autumn", "spring"]
PATHS = ["/a", "/b", "/c", "/d"]
REASONS = ["missing", "truncated"]
DIED = "worker_died"
FAILED = {"rejected", "quarantined"}
numbers = st.integers(0, len(CRAWLS) * len(PATHS) - 1)


@dataclass
class Picture:
    """What a row must be."""

    crawl: str
    path: str
    status: str = "pending"
    reason: str | None = None

    def becomes(self, status: str, reason: str | None = None) -> None:
        self.status, self.reason = status, reason


class Crawl(RuleBasedStateMachine):
    """Workers that decide, an operator who cancels, and people who have pictures labelled again."""

    def __init__(self, store: Catalogue) -> None:
        super().__init__()
        self.store = store
        self.pictures: dict[int, Picture] = {}

    @initialize()
    def pending_rows(self) -> None:
        with writing(self.store.engine) as connection:
            connection.execute(sa.delete(table))
        for crawl in CRAWLS:
            self.store.add_pending(crawl, [PendingRow(path) for path in PATHS], MODEL)
        columns = (table.c.id, table.c.crawl, table.c.path)
        with reading(self.store.engine) as connection:
            for row in connection.execute(sa.select(*columns)):
                self.pictures[row.id] = Picture(row.crawl, row.path)

    def picture(self, number: int) -> tuple[int, Picture]:
        row_id = sorted(self.pictures)[number]
        return row_id, self.pictures[row_id]

    def generations(self) -> dict[int, int]:
        with reading(self.store.engine) as connection:
            found = connection.execute(sa.select(table.c.id, table.c.generation))
            return {row.id: row.generation for row in found}

    def claim(self, picture: Picture) -> list[str]:
        """What a worker named "me" is given of this picture."""
        file = FileState(picture.path, 10, 1.5)
        claim = self.store.claim(picture.crawl, [file], "me", LEASE_SECONDS, MODEL)
        return [each.path for each in claim.todo]

    @rule(number=numbers, reason=st.sampled_from([None, *REASONS]))
    def a_worker_decides(self, number: int, reason: str | None) -> None:
        _, picture = self.picture(number)
        if picture.status != "pending":
            return
        assert self.claim(picture) == [picture.path]
        outcome: Outcome = rejected(picture.path, reason) if reason else labelled(picture.path)
        assert self.store.store(picture.crawl, "me", MODEL, [outcome]) == 1
        picture.becomes("rejected" if reason else "labelled", reason)

    @rule(number=numbers)
    def a_picture_kills_its_workers(self, number: int) -> None:
        _, picture = self.picture(number)
        if picture.status != "pending":
            return
        claim = (picture.crawl, [FileState(picture.path, 10, 1.5)])
        self.store.claim(*claim, "first", DEAD_AT_ONCE, MODEL)
        for life in ("second", "third"):
            assert self.store.claim_alone(picture.crawl, picture.path, life, LEASE_SECONDS, MODEL)
            self.store.expire(life)
        held = self.store.claim(*claim, "last", LEASE_SECONDS, MODEL)
        assert held.quarantined == [picture.path]
        picture.becomes("quarantined", DIED)

    @rule(crawl=st.sampled_from(CRAWLS), number=numbers)
    def an_operator_cancels_while_a_worker_works(self, crawl: str, number: int) -> None:
        _, held = self.picture(number)
        if held.status == "pending":
            assert self.claim(held) == [held.path]
        waiting = [
            each
            for each in self.pictures.values()
            if each.crawl == crawl and each.status == "pending"
        ]
        assert ledger.cancel(self.store.engine, crawl) == len(waiting)
        for each in waiting:
            each.becomes("cancelled")
        if held in waiting:
            assert self.store.store(held.crawl, "me", MODEL, [labelled(held.path)]) == 0
        elif held.status == "pending":
            self.store.release(held.crawl, "me")

    def again(
        self, of: Callable[[Picture], bool], reopen: Callable[[], list[ledger.Reopened]]
    ) -> None:
        """`reopen` makes the failed pictures among these pending, and touches no others."""
        before = self.generations()
        chosen = {
            row_id: each
            for row_id, each in self.pictures.items()
            if each.status in FAILED and of(each)
        }
        found = {row.id: row for row in reopen()}
        assert {i: (r.crawl, r.path, r.status, r.model_version) for i, r in found.items()} == {
            i: (each.crawl, each.path, each.status, MODEL) for i, each in chosen.items()
        }
        for each in chosen.values():
            each.becomes("pending")
        raised = {row_id: before[row_id] + (row_id in chosen) for row_id in before}
        assert self.generations() == raised  # a message of before cannot decide about them

    @rule(chosen=st.lists(numbers, max_size=6))
    def a_person_selects(self, chosen: Sequence[int]) -> None:
        ids = [self.picture(number)[0] for number in chosen]
        selected = [self.pictures[row_id] for row_id in ids]
        self.again(
            lambda each: any(each is other for other in selected),
            lambda: ledger.reopen_rows(self.store.engine, ids),
        )

    @rule(
        crawl=st.none() | st.sampled_from(CRAWLS),
        reason=st.none() | st.sampled_from([*REASONS, DIED]),
        status=st.none() | st.sampled_from(["labelled", "rejected", "quarantined", "cancelled"]),
        more=st.sampled_from([0, 0, 0, 1]),
        page=st.sampled_from([1, 2, 10]),
    )
    def a_person_confirms_a_filter(
        self, crawl: str | None, reason: str | None, status: str | None, more: int, page: int
    ) -> None:
        def of(each: Picture) -> bool:
            wanted = ((crawl, each.crawl), (reason, each.reason), (status, each.status))
            return all(asked in (None, found) for asked, found in wanted)

        wanted = Filter(crawl=crawl, reason=reason, status=status)
        number = sum(each.status in FAILED and of(each) for each in self.pictures.values())
        if more:
            with pytest.raises(InvalidRecord, match="as confirmed"):
                next(ledger.reopen_filter(self.store.engine, wanted, number + more))
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger, "PATHS_PER_PAGE", page)
            self.again(
                of,
                lambda: [
                    row
                    for rows in ledger.reopen_filter(self.store.engine, wanted, number)
                    for row in rows
                ],
            )

    @rule(crawl=st.sampled_from(CRAWLS), reason=st.sampled_from(REASONS))
    def requeue(self, crawl: str, reason: str) -> None:
        self.again(
            lambda each: (each.crawl, each.status, each.reason) == (crawl, "rejected", reason),
            lambda: ledger.reopen_rejected(self.store.engine, crawl, reason),
        )

    @rule(crawl=st.sampled_from(CRAWLS), paths=st.lists(st.sampled_from(PATHS), max_size=2))
    def release(self, crawl: str, paths: list[str]) -> None:
        self.again(
            lambda each: (
                (each.crawl, each.status) == (crawl, "quarantined")
                and (not paths or each.path in paths)
            ),
            lambda: ledger.release_quarantined(self.store.engine, crawl, paths),
        )

    @invariant()
    def rows_equal_the_model(self) -> None:
        columns = [table.c[name] for name in ("id", "crawl", "path", "status", "reason")]
        with reading(self.store.engine) as connection:
            found = {row[0]: tuple(row[1:]) for row in connection.execute(sa.select(*columns))}
        assert found == {
            row_id: (each.crawl, each.path, each.status, each.reason)
            for row_id, each in self.pictures.items()
        }

    @invariant()
    def counters_add_up(self) -> None:
        counted = ledger.counts(self.store.engine)
        for status, number in counted.items():
            expected = [each for each in self.pictures.values() if each.status == status]
            assert number == len(expected), status

    def teardown(self) -> None:
        assert check(self.store.engine) == []


@pytest.mark.slow
def test_label_again_equals_a_python_model(store: Catalogue) -> None:
    few = store.engine.dialect.name == "postgresql"
    run_state_machine_as_test(
        lambda: Crawl(store),
        settings=settings(
            max_examples=8 if few else 25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
