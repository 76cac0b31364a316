"""What goes into the catalogue and comes out of it, as plain frozen dataclasses.

Paths are text. A path whose name is not valid UTF-8 is written as a ``file://`` URL with ``%XX``
escapes by the caller; the catalogue keeps what it is given. Times are timezone-aware UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

STATUSES = ("pending", "labelled", "rejected", "quarantined", "cancelled")
FINAL = frozenset(STATUSES) - {"pending"}
REASON_QUARANTINED = "worker_died"


@dataclass(frozen=True)
class FileState:
    """A file as a scan saw it: `size` in bytes, `mtime` in seconds; None where not looked at."""

    path: str
    size: int | None = None
    mtime: float | None = None


@dataclass(frozen=True)
class PendingRow:
    """A path that is to be labelled, with what the crawl knows about it."""

    path: str
    size: int | None = None
    mtime: float | None = None
    url: str | None = None
    shop: str | None = None
    product_id: str | None = None


@dataclass(frozen=True)
class LabelFields:
    """What a model said of one picture. Confidences and the margin lie in [0, 1].

    `category`, `gender` and `type` are the parts that stand in `label`, None below its stop.
    """

    category: str
    gender: str | None
    type: str | None
    label: str
    best_leaf: str
    category_confidence: float
    gender_confidence: float | None
    type_confidence: float | None
    confidence: float
    margin: float
    needs_review: bool


@dataclass(frozen=True)
class Outcome:
    """How one path ended: 'labelled' with `fields`, or 'rejected' with a `reason`."""

    path: str
    status: str
    size: int | None
    mtime: float | None
    content_hash: str | None
    reason: str | None = None
    fields: LabelFields | None = None


@dataclass(frozen=True)
class Claim:
    """What became of the files of a shard when they were claimed. Each file is in one list.

    `todo` is leased to the caller now. `suspects` are not leased: their worker died while it held
    them, so each is to be taken by `Catalogue.claim_alone` and run by itself. `done` needs
    nothing. `busy` is leased to another worker for at most `busy_seconds` more.
    `quarantined` are those that this very claim has quarantined.
    """

    todo: list[FileState] = field(default_factory=list)
    suspects: list[FileState] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    busy_seconds: float | None = None


@dataclass(frozen=True)
class LabelEntry:
    """One label of a taxonomy, leaf or inner node, with the parts that stand in it."""

    label: str
    category: str
    gender: str | None = None
    type: str | None = None
    is_leaf: bool = True


@dataclass(frozen=True)
class ModelRecord:
    """A model version, as `models list` shows it."""

    version: str
    source: str | None
    figures: dict[str, object]
    first_seen_at: datetime
    in_use: bool
    in_use_since: datetime | None = None
    in_use_until: datetime | None = None
    rows: int = 0  # labelled by it now
    waiting: int = 0  # chosen for relabelling by it, not done yet
    ready: int = 0  # relabelled by it, not promoted yet


@dataclass(frozen=True)
class Row:
    """One row of the catalogue, as queries return it.

    `label` and the fields around it are what the model said; `human_label` is what a person said
    of it, and counts where there is one.
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


def check_labels(entries: Sequence[LabelEntry]) -> None:
    """Raise ValueError when a label is empty, stands twice, or misses its category."""
    seen: set[str] = set()
    for entry in entries:
        if not entry.label or not entry.category:
            raise ValueError(f"expected a label and a category, received {entry!r}")
        if entry.label in seen:
            raise ValueError(f"the label {entry.label!r} stands twice in the taxonomy")
        seen.add(entry.label)
