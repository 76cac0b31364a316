"""The records that the catalogue takes and returns, as frozen dataclasses.

Paths are text. The caller writes a path that is not valid UTF-8 as a ``file://`` URL with ``%XX``
escapes; the catalogue stores paths unchanged. Times are timezone-aware UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

STATUSES = ("pending", "labelled", "rejected", "quarantined", "cancelled")
FINAL_STATUSES = frozenset(STATUSES) - {"pending"}
FAILED_STATUSES = ("rejected", "quarantined", "cancelled")
REASON_QUARANTINED = "worker_died"
NOT_DOWNLOADED = "not_downloaded"  # the crawler has no file of it; `detail` has its words
PUT_OFF = "put_off"  # of an Outcome: the file cannot be read for now, so the row stays pending
# reasons that another run looks at again: rights, disks and links change without the file
RETRIED_REASONS = ("unreadable", "outside_root")


@dataclass(frozen=True)
class FileState:
    """A file as found by a scan: `size` in bytes, `mtime` in seconds; None where not checked.

    A claim adds the row's `generation`: which request for this picture the caller works on. `shop`
    is written into the row; None leaves it as it is.
    """

    path: str
    size: int | None = None
    mtime: float | None = None
    generation: int | None = field(default=None, compare=False)
    shop: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class PendingRow:
    """A path to be labelled, with what the crawler knows about it.

    `failure` is why the crawler has no file there, in its words; None: it has one.
    """

    path: str
    size: int | None = None
    mtime: float | None = None
    url: str | None = None
    shop: str | None = None
    product_id: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class LabelFields:
    """A model's answer for one picture. Confidences and margin are in [0, 1].

    `category`, `gender` and `type` are the parts of `model_label`, None below the level where it
    stops. `second_leaf` is the most probable leaf beside `best_leaf`. `leaf_probabilities` is the
    text of a JSON object from leaf to probability, best first. `backend` and `backend_digest` tell
    what the networks ran on, and its files. The last six are None in labels of versions before 0.2.
    """

    category: str
    gender: str | None
    type: str | None
    model_label: str
    best_leaf: str
    category_confidence: float
    gender_confidence: float | None
    type_confidence: float | None
    confidence: float
    margin: float
    needs_review: bool
    best_leaf_confidence: float | None = None
    second_leaf: str | None = None
    second_leaf_confidence: float | None = None
    leaf_probabilities: str | None = None
    backend: str | None = None
    backend_digest: str | None = None


@dataclass(frozen=True)
class Vector:
    """The int8 vector of a picture, and the digest of what made it."""

    digest: str
    values: bytes


@dataclass(frozen=True)
class Outcome:
    """The result for one path: 'labelled' with `fields`, 'rejected' with a `reason`, or 'put_off'.

    `detail` has the words of the decoder or of the system. `vector` is kept with the bytes.
    """

    path: str
    status: str
    size: int | None
    mtime: float | None
    content_hash: str | None
    reason: str | None = None
    fields: LabelFields | None = None
    detail: str | None = None
    vector: Vector | None = None


@dataclass(frozen=True)
class Claim:
    """The files of a shard after a claim. Each file is in exactly one list.

    Attributes:
        todo: Leased to the caller.
        suspects: Not leased. A worker died while it held them, so claim each with
            `Catalogue.claim_alone` and run it by itself.
        done: Nothing to do.
        busy: Leased to another worker.
        quarantined: Quarantined by this claim.
        gone: Without a row, and not added: forgotten, or of an archived crawl.
        busy_seconds: When the last lease of `busy` ends, in seconds from now.
        put_off: Their files could not be read a short time ago.
        put_off_seconds: When the last of `put_off` may be tried again, in seconds from now.
    """

    todo: list[FileState] = field(default_factory=list)
    suspects: list[FileState] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    busy_seconds: float | None = None
    put_off: list[str] = field(default_factory=list)
    put_off_seconds: float | None = None


@dataclass(frozen=True)
class LabelEntry:
    """One label of a taxonomy, leaf or inner node, with its parts."""

    label: str
    category: str
    gender: str | None = None
    type: str | None = None
    is_leaf: bool = True


@dataclass(frozen=True)
class ModelVersion:
    """A registered model version, as shown by `models list`."""

    version: str
    source: str | None
    figures: dict[str, object]
    first_seen_at: datetime
    in_use: bool
    in_use_since: datetime | None = None
    in_use_until: datetime | None = None
    rows: int = 0  # that have its label now
    waiting: int = 0  # selected for relabelling by it, still pending
    ready: int = 0  # relabelled by it, not yet promoted


@dataclass(frozen=True)
class Row:
    """One row of the catalogue, as queries return it.

    `label` is the label that counts: `human_label`, a person's correction or confirmation, where
    there is one, or else `model_label`. `category`, `gender` and `type` are its parts. The
    confidences, `margin`, the leaves and their probabilities are the model's; see `LabelFields`.
    `detail` has the words of the decoder or of the system for a rejection, or for a row that is
    put off.
    """

    id: int
    crawl: str
    path: str
    url: str | None
    shop: str | None
    product_id: str | None
    size: int | None
    mtime: float | None
    content_hash: str | None
    status: str
    reason: str | None
    label: str | None
    model_label: str | None
    best_leaf: str | None
    category: str | None
    gender: str | None
    type: str | None
    category_confidence: float | None
    gender_confidence: float | None
    type_confidence: float | None
    confidence: float | None
    margin: float | None
    needs_review: bool
    model_version: str | None
    labelled_at: datetime | None
    created_at: datetime
    updated_at: datetime
    attempts: int
    human_label: str | None
    detail: str | None
    best_leaf_confidence: float | None = None
    second_leaf: str | None = None
    second_leaf_confidence: float | None = None
    leaf_probabilities: str | None = None
    backend: str | None = None
    backend_digest: str | None = None

    def best_leaves(self) -> list[tuple[str, float | None]]:
        """The two best leaves with their own probabilities; what the row has of them.

        In a row that an earlier version labelled, the probability is the confidence of the leaf's
        last level, which is the same.
        """
        if self.best_leaf is None:
            return []
        levels = (self.type_confidence, self.gender_confidence, self.category_confidence)
        own = (self.best_leaf_confidence, *levels)
        found = [(self.best_leaf, next((p for p in own if p is not None), None))]
        if self.second_leaf is not None:
            found.append((self.second_leaf, self.second_leaf_confidence))
        return found


def check_labels(entries: Sequence[LabelEntry]) -> None:
    """Raise ValueError when a label is empty, listed twice, or has no category."""
    seen: set[str] = set()
    for entry in entries:
        if not entry.label or not entry.category:
            raise ValueError(f"expected a label and a category, received {entry!r}")
        if entry.label in seen:
            raise ValueError(f"the label {entry.label!r} is listed twice in the taxonomy")
        seen.add(entry.label)
