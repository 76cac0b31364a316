"""Labels and outcomes shared by the database tests. No model computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from db.catalogue import Catalogue
from db.records import FileState, LabelEntry, LabelFields, Outcome, PendingRow

MODEL = "model-1"
OTHER_MODEL = "model-2"
CRAWL = "spring"
LEASE_SECONDS = 300.0
DEAD_AT_ONCE = -1.0  # a lease that has expired when it is taken: its worker died

LABELS = [
    LabelEntry("glasses", "glasses", is_leaf=False),
    LabelEntry("glasses/optical", "glasses", None, "optical"),
    LabelEntry("glasses/sunglasses", "glasses", None, "sunglasses"),
    LabelEntry("out_of_scope", "out_of_scope"),
    LabelEntry("shoes", "shoes", is_leaf=False),
    LabelEntry("shoes/female", "shoes", "female", is_leaf=False),
    LabelEntry("shoes/female/sandals", "shoes", "female", "sandals"),
    LabelEntry("shoes/female/high_heels", "shoes", "female", "high_heels"),
    LabelEntry("shoes/male", "shoes", "male", is_leaf=False),
    LabelEntry("shoes/male/sandals", "shoes", "male", "sandals"),
    LabelEntry("shoes/male/boots", "shoes", "male", "boots"),
]

SANDALS = LabelFields(
    category="shoes",
    gender="female",
    type="sandals",
    model_label="shoes/female/sandals",
    best_leaf="shoes/female/sandals",
    category_confidence=0.99,
    gender_confidence=0.95,
    type_confidence=0.9,
    confidence=0.9,
    margin=0.8,
    needs_review=False,
    best_leaf_confidence=0.9,
    second_leaf="shoes/male/sandals",
    second_leaf_confidence=0.1,
    leaf_probabilities='{"shoes/female/sandals": 0.9, "shoes/male/sandals": 0.1}',
)
SUNGLASSES = LabelFields(
    category="glasses",
    gender=None,
    type="sunglasses",
    model_label="glasses/sunglasses",
    best_leaf="glasses/sunglasses",
    category_confidence=0.97,
    gender_confidence=None,
    type_confidence=0.6,
    confidence=0.6,
    margin=0.2,
    needs_review=True,
    best_leaf_confidence=0.6,
    second_leaf="glasses/optical",
    second_leaf_confidence=0.37,
    leaf_probabilities='{"glasses/sunglasses": 0.6, "glasses/optical": 0.37}',
)
NASTY_PATHS = [
    "/shop/a b.jpg",
    '/shop/it\'s "quoted".jpg',
    "/shop/semi;colon-- .jpg",
    "/shop/new\nline.jpg",
    "/shop/100%_sure.jpg",
    "/shop/back\\slash.jpg",
    "/shop/\u202eright-to-left.jpg",
    "/shop/naïve-鞋.jpg",
    "/shop/" + "x" * 4090,
    "file:///shop/latin%E9.jpg",
]


class DiskFiles:
    """The files of rows whose paths are trusted."""

    def locate(self, path: str) -> str | None:
        """The path, if there is a file."""
        return path if Path(path).is_file() else None

    def read(self, path: str) -> bytes | None:
        """The bytes, if there is a file."""
        return Path(path).read_bytes() if Path(path).is_file() else None


def register(catalogue: Catalogue) -> Catalogue:
    """Register the sample labels for both sample models."""
    for model in (MODEL, OTHER_MODEL):
        catalogue.register_model(model, LABELS)
    return catalogue


def labelled(path: str, fields: LabelFields = SANDALS, content_hash: str | None = None) -> Outcome:
    """A labelled outcome; the content hash is derived from the path unless given."""
    return Outcome(path, "labelled", 10, 1.5, content_hash or f"hash of {path}", fields=fields)


def rejected(path: str, reason: str = "truncated") -> Outcome:
    """A rejected outcome with a reason."""
    return Outcome(path, "rejected", 10, 1.5, f"hash of {path}", reason=reason)


def put(
    store: Catalogue, outcomes: Sequence[Outcome], model: str = MODEL, crawl: str = CRAWL
) -> int:
    """Add the rows of `outcomes`, then store them."""
    store.add_pending(crawl, [PendingRow(outcome.path) for outcome in outcomes], None)
    return store.store(crawl, "me", model, outcomes)


def sandals(**changes: object) -> LabelFields:
    """`SANDALS` with other values."""
    return replace(SANDALS, **changes)  # type: ignore[arg-type]


def quarantine(store: Catalogue, path: str, crawl: str = CRAWL) -> None:
    """Add a row whose picture killed the workers that ran it alone."""
    store.add_pending(crawl, [PendingRow(path)], None)
    claim = (crawl, [FileState(path, 10, 1.5)])
    store.claim(*claim, "first", DEAD_AT_ONCE, MODEL)
    for life in ("second", "third"):
        assert store.claim_alone(crawl, path, life, LEASE_SECONDS, MODEL)
        store.expire(life)
    assert store.claim(*claim, "last", LEASE_SECONDS, MODEL).quarantined == [path]
