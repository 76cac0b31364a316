"""The writes: what a crawl, a claim and a finished batch do to the catalogue.

**For the worker: one shard, from claim to the last row.**

1. ``claim(crawl, files, owner, lease_seconds, model)`` commits before any work begins, and puts
   each file into one list. `todo` is leased now. `done` needs nothing. `busy` is another worker's
   for at most `busy_seconds` more: come back then (retry the message with that countdown), or
   leave them to the other worker's message.
2. Work on `todo` in batches. After each batch: ``store`` (one transaction; clears the leases of
   what it stores) and ``renew`` for the paths still to come.
3. Then the `suspects`: each was held by a worker that died. For each one by itself:
   ``if claim_alone(...)``: decode, classify and store just this picture, before the next is
   claimed. The lease of a picture that is run alone is marked `claimed_alone`, so that the next
   claim after a death knows exactly which picture it was. False means that another worker has it,
   or that it was quarantined just now.
4. A clean stop, or an error that ends the shard: ``release(crawl, owner)``. Leases that are not
   released are deaths: they run out, and whoever asks next takes them over, which raises
   `attempts`. A supervisor that saw its worker die may call ``expire(owner)``, so that nobody
   waits for the lease to run out.

A picture that kills its worker is so found out: death 1 in its shard makes suspects of all the
unfinished pictures of the shard; run alone, the innocent are labelled; the culprit dies alone
twice and is quarantined at the next claim, with reason 'worker_died'. For this a message needs to
be delivered 1 + 2 x (poison pictures in the shard) times at most, and once more for the rest.

`owner` names one life of one process (host, pid and a random part). A name that is used again by
a later process makes the leases of the dead look like its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks, corrections, schema, session
from db.errors import UnknownLabel
from db.records import (
    Claim,
    FileState,
    LabelEntry,
    LabelFields,
    Outcome,
    PendingRow,
)
from db.tables import catalogue, path_key
from db.writes import bulk, claims, counters, leases, lookups, pending, registry
from db.writes.leases import Asking
from db.writes.row_values import fields_of, outcome_values, unique_by_path

STORES_A_SETTLING = 64  # batches between two times that the counters' changes are added up


class Catalogue:
    """The writing side of one catalogue. Safe to share between threads, not across a fork."""

    def __init__(self, engine: Engine, table: sa.Table = catalogue) -> None:
        self.engine = engine
        self._table = table
        self._labels: frozenset[str] = frozenset()
        self._stores = 0

    @classmethod
    def open(cls, url: str, create: bool = True) -> Catalogue:
        """The catalogue at `url`; with `create` its tables are made, or upgraded, first.

        Raises:
            InvalidUrl, DatabaseUnavailable: no such database.
            SchemaMissing, SchemaTooOld: without `create`, when the tables are not up to date.
            SchemaTooNew: a later version of the program made them.
        """
        engine = session.make_engine(url)
        try:
            if create:
                schema.upgrade(engine)
            else:
                schema.require_current(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    def register_model(
        self,
        version: str,
        labels: Sequence[LabelEntry],
        *,
        source: str | None = None,
        figures: Mapping[str, object] | None = None,
    ) -> None:
        """Make a model's labels known; to be called before its first `store`. Idempotent."""
        with self._writing() as connection:
            registry.register(connection, version, labels, source, dict(figures or {}))

    def put_in_use(self, version: str, *, only_if_none: bool = False) -> None:
        """Write that new labels come from this model now; see `registry.put_in_use`."""
        with self._writing() as connection:
            now = clocks.now(connection)
            registry.put_in_use(connection, version, now, only_if_none=only_if_none)

    def add_pending(self, crawl: str, rows: Iterable[PendingRow], model_version: str | None) -> int:
        """Write `rows` into the ledger, in bulk, and return how many of them are to be worked.

        Idempotent. A new path, a changed file (size or mtime), a row of another model and a
        cancelled row are pending afterwards, their old labels in the history; what is pending
        stays so; what is done for this file and model is left alone. Quarantined rows come back
        only when their file changed.
        """
        return pending.add(self.engine, self._table, crawl, rows, model_version)

    def add_pending_chunk(
        self, crawl: str, rows: Sequence[PendingRow], model_version: str | None
    ) -> list[str]:
        """`add_pending` for some thousand rows in one transaction; the paths to be published."""
        return pending.add_chunk(self.engine, self._table, crawl, rows, model_version)

    def claim(
        self,
        crawl: str,
        files: Sequence[FileState],
        owner: str,
        lease_seconds: float,
        model_version: str,
        *,
        reopen: bool = True,
    ) -> Claim:
        """Lease what of `files` is to be worked; see the top of this module. Committed on return.

        Paths that are not in the catalogue are added to it. With `reopen` (somebody asks for this
        now: `label`), finished rows whose file changed or that another model labelled are worked
        again. Without it (a message that may be late or delivered twice) only what is pending for
        this model is.
        """
        with self._writing() as connection:
            asking = Asking(owner, model_version, clocks.now(connection), lease_seconds, reopen)
            return claims.claim(connection, self._table, crawl, files, asking)

    def claim_alone(
        self, crawl: str, path: str, owner: str, lease_seconds: float, model_version: str
    ) -> bool:
        """Lease one suspect, to be run by itself. False: another has it, or it is finished now.

        The lease is marked `claimed_alone`; a death under it counts towards quarantine.
        """
        with self._writing() as connection:
            now = clocks.now(connection)
            asking = Asking(owner, model_version, now, lease_seconds, reopen=False)
            return claims.claim_alone(connection, self._table, crawl, path, asking)

    def renew(self, crawl: str, owner: str, paths: Sequence[str], lease_seconds: float) -> int:
        """Prolong the caller's leases of `paths`; returns how many of them are still its own."""
        keys = [path_key(path) for path in paths]
        with self._writing() as connection:
            until = claims.until(clocks.now(connection), lease_seconds)
            held = [
                row
                for row in leases.states(connection, self._table, crawl, keys).values()
                if row.claimed_by == owner
            ]
            claims.update(connection, self._table, held, {"claimed_until": until})
        return len(held)

    def release(self, crawl: str, owner: str) -> int:
        """Give all of `owner`'s leases in `crawl` back: a clean stop. Returns how many."""
        held = sa.and_(self._table.c.claimed_by == owner, self._table.c.crawl == crawl)
        with self._writing() as connection:
            statement = sa.update(self._table).where(held).values(claims.NO_LEASE)
            return connection.execute(statement).rowcount

    def expire(self, owner: str) -> int:
        """Let all of `owner`'s leases run out now: it was seen to be dead. Returns how many."""
        with self._writing() as connection:
            statement = sa.update(self._table).where(self._table.c.claimed_by == owner)
            return connection.execute(
                statement.values(claimed_until=clocks.now(connection))
            ).rowcount

    def owners(self) -> list[str]:
        """Who holds leases now, in any crawl; also leases that have run out."""
        held = sa.select(self._table.c.claimed_by).where(self._table.c.claimed_by.isnot(None))
        with session.reading(self.engine) as connection:
            return sorted(connection.execute(held.distinct()).scalars())

    def labels_by_hash(self, hashes: Sequence[str], model_version: str) -> dict[str, LabelFields]:
        """What `model_version` said of the pictures with these content hashes, where it did."""
        if not hashes:
            return {}
        unique = sorted(set(hashes))
        on_postgresql = self.engine.dialect.name == "postgresql"
        query = lookups.labels_by_hash(self._table, on_postgresql)
        asked = unique if on_postgresql else json.dumps(unique)
        values = {"asked": asked, "model_version": model_version}
        with session.reading(self.engine) as connection:
            found = connection.execute(query, values).mappings()
            return {row["content_hash"]: fields_of(row) for row in found}

    def store(self, crawl: str, owner: str, model_version: str, outcomes: Sequence[Outcome]) -> int:
        """Write how these paths ended, in one transaction, and clear their leases.

        A person's label stays, unless the bytes are others than those that the person saw.

        Idempotent: what was stored before is left as it is, and so are rows that another worker
        holds, or that were finished or cancelled meanwhile. Returns how many rows were written.

        Raises:
            UnknownLabel: a label of no registered model; nothing is stored.
            InvalidRecord: an outcome that the catalogue cannot hold; nothing is stored.
        """
        unique = unique_by_path(outcomes)
        self._require_labels(unique)
        with self._writing() as connection:
            now = clocks.now(connection)
            rows = {
                row["path_key"]: row
                for row in (outcome_values(crawl, o, model_version, now) for o in unique)
            }
            found = leases.states(connection, self._table, crawl, rows)
            if len(found) < len(rows):
                registry.ensure_crawl(connection, crawl, now)
            writable = [
                row
                for key, row in sorted(rows.items())
                if key not in found
                or (found[key].status == "pending" and found[key].claimed_by in (None, owner))
            ]
            corrections.drop_outdated(connection, found, writable, now)
            bulk.upsert(
                connection,
                self._table,
                writable,
                key=("crawl", "path_key"),
                keep=("path", "created_at"),
            )
            self._stores += 1
            if self._stores % STORES_A_SETTLING == 0:
                counters.settle(connection)
        return len(writable)

    def _writing(self) -> AbstractContextManager[Connection]:
        return session.writing(self.engine)

    def _require_labels(self, outcomes: Sequence[Outcome]) -> None:
        said = {str(o.fields.label) for o in outcomes if o.fields is not None}
        if said <= self._labels:
            return
        with session.reading(self.engine) as connection:
            self._labels = registry.label_names(connection)
        if unknown := said - self._labels:
            raise UnknownLabel(
                f"expected labels of a registered taxonomy, received {sorted(unknown)}; "
                "register the model (Catalogue.register_model) before storing what it says"
            )
