"""Stand-ins that keep the contracts of the real ones: a store in memory, a constant classifier.

They are part of the program: ``--model constant:LABEL`` tries a queue without networks, and
`MemoryStore` lets a crawler's own tests run the pipeline without a database.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from db.records import FINAL, REASON_QUARANTINED, Claim, FileState, LabelEntry, LabelFields, Outcome
from worker.errors import ModelUnusable
from worker.model_loader import label_entries

if TYPE_CHECKING:
    import numpy as np

    from cascade.pictures.decode import Preprocessing
    from cascade.routing import Prediction

DEATHS_ALONE_TO_QUARANTINE = 2


@dataclass
class MemoryRow:
    """One row of a `MemoryStore`."""

    file: FileState
    status: str = "pending"
    model_version: str | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    attempts: int = 0
    deaths_alone: int = 0
    claimed_by: str | None = None
    claimed_until: float = 0.0
    claimed_alone: bool = False


class MemoryStore:
    """A catalogue in memory with the claims and leases of the real one. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
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
    ) -> Claim:
        """Lease what of `files` is to be worked; see ``db.catalogue``."""
        claim = Claim()
        with self._lock:
            for file in {file.path: file for file in files}.values():
                row = self.rows.setdefault((crawl, file.path), MemoryRow(file))
                self._claim_one(claim, row, file, (owner, lease_seconds, model_version, reopen))
        return claim

    def _claim_one(
        self, claim: Claim, row: MemoryRow, file: FileState, asking: tuple[str, float, str, bool]
    ) -> None:
        owner, lease_seconds, model_version, reopen = asking
        changed = (file.size, file.mtime) != (row.file.size, row.file.mtime)
        anew = changed or row.model_version != model_version
        if row.status in FINAL and not (reopen and anew and row.status != "cancelled"):
            claim.done.append(file.path)
            return
        if row.status in FINAL:
            row.status, row.attempts, row.deaths_alone = "pending", 0, 0
        if row.claimed_by not in (None, owner):
            if row.claimed_until > self._clock():
                claim.busy.append(file.path)
                return
            self._count_death(row)
            if row.status == "quarantined":
                claim.quarantined.append(file.path)
                return
        row.file, row.model_version = file, model_version
        if row.attempts:
            row.claimed_by = None
            claim.suspects.append(file)
        else:
            row.claimed_by, row.claimed_until = owner, self._clock() + lease_seconds
            claim.todo.append(file)

    def _count_death(self, row: MemoryRow) -> None:
        row.attempts += 1
        row.deaths_alone += row.claimed_alone
        row.claimed_by, row.claimed_alone = None, False
        if row.deaths_alone >= DEATHS_ALONE_TO_QUARANTINE:
            row.status, row.reason = "quarantined", REASON_QUARANTINED

    def claim_alone(
        self, crawl: str, path: str, owner: str, lease_seconds: float, model_version: str
    ) -> bool:
        """Lease one suspect, to be run by itself; False when that cannot be."""
        with self._lock:
            row = self.rows[crawl, path]
            if row.status != "pending" or row.claimed_by not in (None, owner):
                return False
            row.claimed_by, row.claimed_until = owner, self._clock() + lease_seconds
            row.claimed_alone, row.model_version = True, model_version
            return True

    def renew(self, crawl: str, owner: str, paths: Sequence[str], lease_seconds: float) -> int:
        """Prolong the caller's leases; returns how many are still its own."""
        with self._lock:
            held = [row for path in paths if (row := self.rows[crawl, path]).claimed_by == owner]
            for row in held:
                row.claimed_until = self._clock() + lease_seconds
        return len(held)

    def labels_by_hash(
        self, hashes: Sequence[str], model_version: str
    ) -> Mapping[str, LabelFields]:
        """What the model said of the pictures with these content hashes."""
        wanted = set(hashes)
        with self._lock:
            outcomes = [
                row.outcome for row in self.rows.values() if row.model_version == model_version
            ]
        return {
            outcome.content_hash: outcome.fields
            for outcome in outcomes
            if outcome is not None
            and outcome.fields is not None
            and outcome.content_hash is not None
            and outcome.content_hash in wanted
        }

    def store(self, crawl: str, owner: str, model_version: str, outcomes: Sequence[Outcome]) -> int:
        """Write how these paths ended, where the caller may; returns how many were written."""
        written = 0
        with self._lock:
            for outcome in {outcome.path: outcome for outcome in outcomes}.values():
                row = self.rows[crawl, outcome.path]
                if row.status != "pending" or row.claimed_by not in (None, owner):
                    continue
                row.status, row.outcome, row.reason = outcome.status, outcome, outcome.reason
                row.model_version, row.claimed_by, row.claimed_alone = model_version, None, False
                row.file = FileState(outcome.path, outcome.size, outcome.mtime)
                written += 1
        return written

    def release(self, crawl: str, owner: str) -> int:
        """Give all leases of the caller back."""
        with self._lock:
            held = [
                row
                for (name, _), row in self.rows.items()
                if name == crawl and row.claimed_by == owner
            ]
            for row in held:
                row.claimed_by, row.claimed_alone = None, False
        return len(held)

    def owners(self) -> list[str]:
        """Who holds leases."""
        with self._lock:
            return sorted({row.claimed_by for row in self.rows.values() if row.claimed_by})

    def expire(self, owner: str) -> int:
        """Let the leases of an owner that is dead run out now."""
        with self._lock:
            held = [row for row in self.rows.values() if row.claimed_by == owner]
            for row in held:
                row.claimed_until = self._clock()
        return len(held)


class ConstantModel:
    """Gives every picture one label of the shipped taxonomy, with confidence 1."""

    def __init__(self, label: str) -> None:
        from cascade.taxonomy import Taxonomy

        self._taxonomy = Taxonomy.load()
        if label not in self._taxonomy.leaves:
            raise ModelUnusable(
                f"constant:{label}: expected a leaf of the taxonomy, such as "
                f"constant:{self._taxonomy.leaves[0]}; see 'fashion-cascade taxonomy --leaves'"
            )
        self._label = label
        self.source = f"constant:{label}"
        self.version = "constant-" + hashlib.sha256(label.encode()).hexdigest()[:16]

    @property
    def preprocessing(self) -> Preprocessing:
        """The usual one."""
        from cascade.pictures.decode import Preprocessing

        return Preprocessing()

    def labels(self) -> list[LabelEntry]:
        """The nodes of the shipped taxonomy."""
        return label_entries(self._taxonomy)

    def figures(self) -> dict[str, object]:
        """Nothing was measured."""
        return {}

    def load(self) -> None:
        """There is nothing to load."""

    def batch_size(self, most: int) -> int:
        """As many as on a CPU."""
        from cascade.backends import BATCH

        return min(BATCH, most)

    def classify(self, pixels: np.ndarray) -> Sequence[Prediction]:
        """The constant label for each of (N, height, width, 3) pictures."""
        from cascade.routing import Prediction

        levels = self._taxonomy.levels(self._label)
        sure = {level: None if levels[level] is None else 1.0 for level in ("gender", "type")}
        prediction = Prediction(
            label=self._label,
            best_leaf=self._label,
            category=levels["category"],
            gender=levels["gender"],
            type=levels["type"],
            category_confidence=1.0,
            gender_confidence=sure["gender"],
            type_confidence=sure["type"],
            confidence=1.0,
            margin=1.0,
            needs_review=False,
        )
        return [replace(prediction) for _ in range(len(pixels))]
