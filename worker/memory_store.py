"""A catalogue in memory, for tests that run the pipeline without a database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from db.records import PUT_OFF, REASON_QUARANTINED, Claim, FileState, LabelFields, Outcome
from db.tables import path_key
from db.writes import put_offs
from db.writes.claims import seconds_until_last
from db.writes.leases import (
    DEAD,
    SUSPECTS,
    TAKEOVERS,
    ClaimRequest,
    Decision,
    RowState,
    decide,
    is_new_request,
    may_store,
)
from db.writes.row_values import (
    NO_LEASE,
    NO_PUT_OFF,
    checked_text,
    outcome_values,
    unique_by_path,
)

REOPENED: dict[str, Any] = {
    **NO_LEASE,
    **NO_PUT_OFF,
    "detail": None,
    **{"status": "pending", "reason": None, "fields": None, "attempts": 0, "deaths_alone": 0},
}


@dataclass(frozen=True)
class MemoryRow(RowState):
    """One row of a `MemoryStore`: what decides about its claims, and its label."""

    fields: LabelFields | None = None
    detail: str | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    """Keeps the contract of ``db.catalogue.Catalogue`` for the methods that it has. Thread-safe.

    It keeps no history, no corrections, no vectors, no list of registered labels, and none of what
    was forgotten: `again` changes nothing.

    Args:
        clock: returns the current time, timezone-aware.
    """

    def __init__(self, clock: Callable[[], datetime] = _utc_now) -> None:
        self.rows: dict[tuple[str, str], MemoryRow] = {}
        self._clock = clock
        self._lock = threading.Lock()

    def claim(
        self,
        crawl: str,
        files: Sequence[FileState],
        owner: str,
        lease_seconds: float,
        model_version: str,
        *,
        reopen: bool = True,
        again: bool = False,
    ) -> Claim:
        """Lease the files that need work; see `Catalogue.claim`."""
        asked = {file.path: file for file in files}
        decided: dict[Decision, list[FileState]] = {decision: [] for decision in Decision}
        with self._lock:
            request = ClaimRequest(
                owner, model_version, self._clock(), lease_seconds, reopen, again
            )
            if reopen or again:
                self._add_missing(crawl, asked.values(), model_version)
            wanted = [file for path, file in asked.items() if (crawl, path) in self.rows]
            ends: list[datetime | None] = []
            tries: list[datetime | None] = []
            for file in wanted:
                row = self.rows[crawl, file.path]
                if file.shop is not None:
                    row = replace(row, shop=file.shop)
                decision = decide(row, file, request)
                decided[decision].append(file)
                ends += [row.claimed_until] if decision is Decision.BUSY else []
                tries += [row.not_before] if decision is Decision.PUT_OFF else []
                self.rows[crawl, file.path] = _claimed(row, decision, request)

        def requests_of(*decisions: Decision) -> list[FileState]:
            files = (file for decision in decisions for file in decided[decision])
            return [
                replace(file, generation=self.rows[crawl, file.path].generation) for file in files
            ]

        return Claim(
            todo=requests_of(Decision.LEASE, Decision.REOPEN),
            suspects=requests_of(*SUSPECTS),
            done=[file.path for file in decided[Decision.DONE]],
            busy=[file.path for file in decided[Decision.BUSY]],
            quarantined=[file.path for file in decided[Decision.QUARANTINE]],
            gone=[path for path in asked if (crawl, path) not in self.rows],
            busy_seconds=seconds_until_last(ends, request.now),
            put_off=[file.path for file in decided[Decision.PUT_OFF]],
            put_off_seconds=seconds_until_last(tries, request.now),
        )

    def _add_missing(self, crawl: str, files: Iterable[FileState], model_version: str) -> None:
        new = [file for file in files if (crawl, file.path) not in self.rows]
        for file in new:
            checked_text(file.path, "path")  # all of them are checked before the first one is added
        for file in new:
            self.rows[crawl, file.path] = _new_row(file, model_version)

    def claim_alone(
        self,
        crawl: str,
        path: str,
        owner: str,
        lease_seconds: float,
        model_version: str,
        *,
        generation: int | None = None,
    ) -> bool:
        """Lease one suspect, to be run alone; see `Catalogue.claim_alone`."""
        with self._lock:
            row = self.rows.get((crawl, path))
            if row is None:
                return False
            request = ClaimRequest(owner, model_version, self._clock(), lease_seconds, reopen=False)
            decision = decide(row, FileState(path, generation=generation), request)
            row = _claimed(row, decision, request)
            leased = decision in (Decision.LEASE, *SUSPECTS)
            if leased:
                row = replace(row, **_lease(request) | {"claimed_alone": True})
            self.rows[crawl, path] = row
        return leased

    def renew(self, crawl: str, owner: str, paths: Sequence[str], lease_seconds: float) -> int:
        """Extend the caller's leases; returns how many of them it still holds."""
        wanted = set(paths)
        with self._lock:
            until = self._clock() + timedelta(seconds=lease_seconds)
            return self._update_held(
                owner, {"claimed_until": until}, lambda key: key[0] == crawl and key[1] in wanted
            )

    def labels_by_hash(
        self, hashes: Sequence[str], model_version: str, *, with_vector: str | None = None
    ) -> Mapping[str, LabelFields]:
        """The labels that this model gave to pictures with these content hashes.

        With the digest `with_vector`, of none: no vectors are kept.
        """
        wanted = set() if with_vector is not None else set(hashes)
        with self._lock:
            return {
                row.content_hash: row.fields
                for row in self.rows.values()
                if row.content_hash in wanted and row.model_version == model_version
                if row.content_hash is not None and row.fields is not None
            }

    def store(
        self,
        crawl: str,
        owner: str,
        model_version: str,
        outcomes: Sequence[Outcome],
        *,
        generations: Mapping[str, int | None] | None = None,
        again: bool = False,
    ) -> int:
        """Write the outcomes that the caller may write; returns how many; see `Catalogue.store`.

        Raises:
            InvalidRecord: an outcome that the catalogue cannot hold; nothing is stored.
        """
        with self._lock:
            now = self._clock()
            unique, claimed = unique_by_path(outcomes), generations or {}
            values = [
                outcome_values(crawl, outcome, model_version, now)
                for outcome in unique
                if outcome.status != PUT_OFF
            ]
            written = 0
            for outcome in (outcome for outcome in unique if outcome.status == PUT_OFF):
                held = self.rows.get((crawl, outcome.path))
                number = claimed.get(outcome.path)
                if held and may_store(held, owner, model_version, number):
                    self.rows[crawl, outcome.path] = _put_off(held, outcome, now)
                    written += 1
            for row_values in values:
                key = (crawl, row_values["path"])
                row = self.rows.get(key)
                number = claimed.get(key[1])
                if row is not None and may_store(row, owner, model_version, number):
                    self.rows[key] = _stored(row, row_values)
                    written += 1
        return written

    def release(self, crawl: str, owner: str) -> int:
        """Release all leases of `owner` in `crawl`; returns how many."""
        with self._lock:
            return self._update_held(owner, NO_LEASE, lambda key: key[0] == crawl)

    def expire(self, owner: str) -> int:
        """Record that `owner` is dead, so all its leases expire now; returns how many."""
        with self._lock:
            values = {"claimed_by": DEAD + owner, "claimed_until": self._clock()}
            return self._update_held(owner, values, lambda _: True)

    def owners(self) -> list[str]:
        """Who holds leases, including expired ones, without those known as dead."""
        with self._lock:
            held = {row.claimed_by for row in self.rows.values() if row.claimed_by}
        return sorted(owner for owner in held if not owner.startswith(DEAD))

    def _update_held(
        self, owner: str, values: Mapping[str, Any], chosen: Callable[[tuple[str, str]], bool]
    ) -> int:
        held = [key for key, row in self.rows.items() if row.claimed_by == owner and chosen(key)]
        for key in held:
            self.rows[key] = replace(self.rows[key], **values)
        return len(held)


def _new_row(file: FileState, model_version: str) -> MemoryRow:
    return MemoryRow(
        id=0,
        path_key=path_key(file.path),
        status="pending",
        size=file.size,
        mtime=file.mtime,
        model_version=model_version,
        attempts=0,
        deaths_alone=0,
        claimed_by=None,
        claimed_until=None,
        claimed_alone=False,
        shop=file.shop,
    )


def _lease(request: ClaimRequest) -> dict[str, Any]:
    return {
        "claimed_by": request.owner,
        "claimed_until": request.now + timedelta(seconds=request.lease_seconds),
        "claimed_alone": False,
        "model_version": request.model_version,
    }


def _claimed(row: MemoryRow, decision: Decision, request: ClaimRequest) -> MemoryRow:
    """The row after a claim: leased, reopened, or with one more death."""
    if decision is Decision.LEASE:
        newer = row.generation + is_new_request(row, request)
        return replace(row, **_lease(request), generation=newer)
    if decision is Decision.REOPEN:
        return replace(row, **REOPENED | _lease(request), generation=row.generation + 1)
    if decision not in TAKEOVERS:
        return row
    attempts, deaths_alone = row.attempts + 1, row.deaths_alone
    if decision is not Decision.LAPSED:
        deaths_alone += row.claimed_alone
    row = replace(row, **NO_LEASE, attempts=attempts, deaths_alone=deaths_alone)
    if decision is Decision.QUARANTINE:
        row = replace(row, status="quarantined", reason=REASON_QUARANTINED)
    return row


def _put_off(row: MemoryRow, outcome: Outcome, now: datetime) -> MemoryRow:
    values = put_offs.values(row, outcome, now)
    return replace(row, **{name: values[name] for name in values if name != "updated_at"})


def _stored(row: MemoryRow, values: Mapping[str, Any]) -> MemoryRow:
    names = ("size", "mtime", "content_hash", "model_version", "status", "reason", "detail")
    labelled = values["status"] == "labelled"
    fields = LabelFields(**{name: values[name] for name in LabelFields.__dataclass_fields__})
    kept = {name: values[name] for name in names}
    return replace(row, **NO_LEASE, **NO_PUT_OFF, **kept, fields=fields if labelled else None)
