"""The write operations of the catalogue: enqueue, claim, store, release.

**How a worker processes one shard**

1. ``claim(crawl, files, owner, lease_seconds, model)`` commits before any work begins and puts each
   file into one list. `todo` is leased to the caller. `done` needs nothing. `busy` is leased to
   another worker for at most `busy_seconds` more: come back then (retry the message with that
   countdown), or leave these files to the other worker's message.
2. Work on `todo` in batches. After each batch call ``store`` (one transaction; it also ends the
   leases of the stored rows) and ``renew`` for the remaining paths.
3. Then work on the `suspects`, each of which was held by a worker that died. For each one: ``if
   claim_alone(...)``, then decode, classify and store this picture before claiming the next. A
   lease of `claim_alone` is marked `claimed_alone`, so the next claim after a death knows which
   picture it was. False means that another worker holds it or that it was quarantined just now.
4. On a clean stop, or after an error that ends the shard: ``release(crawl, owner)``. A lease that
   is not released expires; the next claim then takes the row over and makes it a suspect. Whoever
   sees that a worker is dead calls ``expire(owner)``: nobody waits for the lease to end, and the
   death counts. A lease that ran out while its worker may be alive is no death.

This isolates a picture that kills its worker. Death 1, in its shard, makes suspects of all
unfinished pictures of the shard. Run alone, the others are labelled. The culprit kills two more
workers and is quarantined at the next claim, with reason 'worker_died'. A message must therefore be
delivered up to 1 + 2 x (poison pictures in the shard) times, and once more for the rest.

`owner` identifies one life of one process (host, pid and a random part). If a later process used
the same name, the leases of the dead one would look like its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import clocks, human_labels, schema, session
from db.errors import UnknownLabel
from db.features import vectors
from db.records import (
    PUT_OFF,
    Claim,
    FileState,
    LabelEntry,
    LabelFields,
    Outcome,
    PendingRow,
    Vector,
)
from db.tables import catalogue, path_key
from db.writes import (
    bulk,
    claims,
    counters,
    leases,
    lookups,
    pending,
    put_offs,
    registry,
    withheld,
)
from db.writes.leases import DEAD, ClaimRequest
from db.writes.row_values import NO_LEASE, label_fields, outcome_values, unique_by_path

STORES_PER_MERGE = 64  # batches between two merges of the counters' changes


class Catalogue:
    """Writes to one catalogue. Safe to share between threads, not across a fork."""

    def __init__(self, engine: Engine, table: sa.Table = catalogue) -> None:
        self.engine = engine
        self._table = table
        self._labels: frozenset[str] = frozenset()
        self._stores = 0

    @classmethod
    def open(cls, url: str, create: bool = True) -> Catalogue:
        """Open the catalogue at `url`; with `create`, make or upgrade its tables first.

        Raises:
            InvalidUrl, DatabaseUnavailable: no such database.
            SchemaMissing, SchemaTooOld: without `create`, if the tables are not up to date.
            SchemaTooNew: a later version of the program made the tables.
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
        """Add a model version and its labels; call before its first `store`. Idempotent."""
        with self._writing() as connection:
            registry.register(connection, version, labels, source, dict(figures or {}))

    def put_in_use(self, version: str, *, only_if_none: bool = False) -> None:
        """Mark this model as the one in use; see `registry.put_in_use`."""
        with self._writing() as connection:
            now = clocks.now(connection)
            registry.put_in_use(connection, version, now, only_if_none=only_if_none)

    def add_pending(self, crawl: str, rows: Iterable[PendingRow], model_version: str | None) -> int:
        """Add pending rows in bulk; return how many of `rows` are pending afterwards.

        Idempotent. New paths, changed files (size or mtime), rows of another model and cancelled
        rows become pending; their old labels go to the history. Pending rows stay pending. Rows
        that are done for this file and model stay unchanged. Quarantined rows become pending only
        if their file changed.
        """
        return pending.add(self.engine, self._table, crawl, rows, model_version)

    def add_pending_chunk(
        self, crawl: str, rows: Sequence[PendingRow], model_version: str | None
    ) -> list[str]:
        """`add_pending` in one transaction, for some thousand rows; return the paths to publish."""
        return pending.add_chunk(self.engine, self._table, crawl, rows, model_version)

    def withheld(self, crawl: str, paths: Sequence[str]) -> set[str]:
        """Those of `paths` without a row that were forgotten, or whose crawl is archived."""
        keys = {path_key(path): path for path in paths}
        with self._writing() as connection:
            known = leases.locked_rows(connection, self._table, crawl, keys)
            missing = [key for key in keys if key not in known]
            return {keys[key] for key in withheld.withheld(connection, crawl, missing)}

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
        """Lease the files that need work; see the top of this module. Committed on return.

        Args:
            crawl: The crawl's name.
            files: The files of a shard.
            owner: Identifies this life of this process.
            lease_seconds: How long the leases last.
            model_version: The model that is to label them.
            reopen: Also work on finished rows whose file changed or that another model labelled,
                and add paths that are not in the catalogue: for direct requests such as `label`.
                False for messages, which may be late or delivered twice: then only rows that are
                pending for this model are leased.
            again: With `reopen`, also add what was forgotten or archived. Otherwise it is `gone`.
        """
        with self._writing() as connection:
            now = clocks.now(connection)
            request = ClaimRequest(owner, model_version, now, lease_seconds, reopen, again)
            return claims.claim(connection, self._table, crawl, files, request)

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
        """Lease one suspect to run it by itself. False: another worker has it, or it is done.

        `generation` is that of the claim which returned the suspect. The lease is marked
        `claimed_alone`. A death under it counts towards quarantine.
        """
        with self._writing() as connection:
            now = clocks.now(connection)
            request = ClaimRequest(owner, model_version, now, lease_seconds, reopen=False)
            file = FileState(path, generation=generation)
            return claims.claim_alone(connection, self._table, crawl, file, request)

    def renew(self, crawl: str, owner: str, paths: Sequence[str], lease_seconds: float) -> int:
        """Extend the caller's leases of `paths`; return how many of them it still holds."""
        keys = [path_key(path) for path in paths]
        with self._writing() as connection:
            end = claims.lease_end(clocks.now(connection), lease_seconds)
            rows = leases.locked_rows(connection, self._table, crawl, keys).values()
            held = [row.id for row in rows if row.claimed_by == owner]
            bulk.update_all(connection, self._table, held, {"claimed_until": end})
        return len(held)

    def release(self, crawl: str, owner: str) -> int:
        """End all of `owner`'s leases in `crawl`, at a clean stop; return how many."""
        held = sa.and_(self._table.c.claimed_by == owner, self._table.c.crawl == crawl)
        with self._writing() as connection:
            statement = sa.update(self._table).where(held).values(NO_LEASE)
            return connection.execute(statement).rowcount

    def expire(self, owner: str) -> int:
        """Record that `owner` is dead, so all its leases expire now; return how many."""
        with self._writing() as connection:
            statement = sa.update(self._table).where(self._table.c.claimed_by == owner)
            values = {"claimed_by": DEAD + owner, "claimed_until": clocks.now(connection)}
            return connection.execute(statement.values(values)).rowcount

    def owners(self) -> list[str]:
        """The owners of leases in any crawl, including expired leases, not those known as dead."""
        owner = self._table.c.claimed_by
        held = sa.select(owner).where(owner.isnot(None), owner.not_like(f"{DEAD}%"))
        with session.reading(self.engine) as connection:
            return sorted(connection.execute(held.distinct()).scalars())

    def labels_by_hash(
        self, hashes: Sequence[str], model_version: str, *, with_vector: str | None = None
    ) -> dict[str, LabelFields]:
        """The labels that `model_version` gave to pictures with these content hashes.

        With the digest `with_vector`, only of pictures that have a vector of it.
        """
        if not hashes:
            return {}
        unique = sorted(set(hashes))
        if with_vector is not None:
            with session.reading(self.engine) as connection:
                unique = sorted(
                    set(unique) - vectors.without_vector(connection, with_vector, unique)
                )
        on_postgresql = self.engine.dialect.name == "postgresql"
        query = lookups.labels_by_hash(self._table, on_postgresql)
        asked = unique if on_postgresql else json.dumps(unique)
        values = {"asked": asked, "model_version": model_version}
        with session.reading(self.engine) as connection:
            found = connection.execute(query, values).mappings()
            return {row["content_hash"]: label_fields(row) for row in found}

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
        """Write the outcomes in one transaction and end their leases; return how many were written.

        Idempotent. Rows that are finished or cancelled, that another worker holds, or that were
        asked for anew since the claim (its `generations`, by path) stay unchanged. Deleted rows
        stay deleted. A row whose bytes turn out to be forgotten is deleted, unless they are wanted
        `again`. A row that is put off stays pending for a while (`db.writes.put_offs`). A person's
        label stays, unless the file's bytes changed since.

        Raises:
            UnknownLabel: a label of no registered model; nothing is stored.
            InvalidRecord: an outcome that the catalogue cannot store; nothing is stored.
        """
        unique = unique_by_path(outcomes)
        self._require_labels(unique)
        put_off = {path_key(o.path): o for o in unique if o.status == PUT_OFF}
        with self._writing() as connection:
            now = clocks.now(connection)
            final = (o for o in unique if o.status != PUT_OFF)
            rows = {
                row["path_key"]: row
                for row in (outcome_values(crawl, o, model_version, now) for o in final)
            }
            found = leases.locked_rows(connection, self._table, crawl, [*rows, *put_off])
            claimed = {path_key(path): number for path, number in (generations or {}).items()}
            held = {
                key
                for key, row in found.items()
                if leases.may_store(row, owner, model_version, claimed.get(key))
            }
            writable = [row for key, row in sorted(rows.items()) if key in held]
            if not again:
                writable = withheld.without_forgotten(connection, self._table, found, writable)
            put_off = {key: outcome for key, outcome in put_off.items() if key in held}
            put_offs.write(connection, self._table, found, put_off, now)
            human_labels.withdraw_outdated(connection, found, writable, now)
            bulk.upsert(
                connection,
                self._table,
                writable,
                key=("crawl", "path_key"),
                keep=("path", "created_at"),
            )
            vectors.write(connection, _vectors_of(writable, unique))
            self._stores += 1
            if self._stores % STORES_PER_MERGE == 0:
                counters.merge_changes(connection)
        return len(writable) + len(put_off)

    def _writing(self) -> AbstractContextManager[Connection]:
        return session.writing(self.engine)

    def _require_labels(self, outcomes: Sequence[Outcome]) -> None:
        used = {str(o.fields.model_label) for o in outcomes if o.fields is not None}
        if used <= self._labels:
            return
        with session.reading(self.engine) as connection:
            self._labels = registry.label_names(connection)
        if unknown := used - self._labels:
            raise UnknownLabel(
                f"expected labels of a registered taxonomy, received {sorted(unknown)}; "
                "register the model (Catalogue.register_model) before storing its labels"
            )


def _vectors_of(
    written: Sequence[Mapping[str, object]], outcomes: Sequence[Outcome]
) -> dict[str, Vector]:
    """By content hash, the vectors of the rows that are written."""
    hashes = {row["content_hash"] for row in written}
    return {
        str(outcome.content_hash): outcome.vector
        for outcome in outcomes
        if outcome.vector is not None and outcome.content_hash in hashes
    }
