"""The table definitions. Plain names and columns, readable by any SQL tool.

The migrations in ``db/migrations`` create these tables; a test checks that both are equal. Reasons
for the keys: docs/decisions/0010-rows-keyed-by-path-hash.md.
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa

from db.column_types import Id, UtcDateTime
from db.records import FAILED_STATUSES, STATUSES

CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = sa.MetaData(naming_convention=CONVENTION)


def path_key(path: str) -> bytes:
    """The 16-byte hash that identifies a path, since a path may be too long for an index entry."""
    return hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _label_columns() -> list[sa.Column[object]]:
    """The columns of a model's answer, shared by the picture tables and `label_history`.

    In `catalogue`, triggers replace `category`, `gender` and `type` by the parts of a human label.
    """
    return [
        sa.Column("category", sa.Text),
        sa.Column("gender", sa.Text),
        sa.Column("type", sa.Text),
        sa.Column("model_label", sa.Text),
        sa.Column("best_leaf", sa.Text),
        sa.Column("category_confidence", sa.Double),
        sa.Column("gender_confidence", sa.Double),
        sa.Column("type_confidence", sa.Double),
        sa.Column("confidence", sa.Double),
        sa.Column("margin", sa.Double),
        sa.Column("needs_review", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("model_version", sa.Text),
        sa.Column("labelled_at", UtcDateTime),
        sa.Column("backend", sa.Text),
        sa.Column("backend_digest", sa.Text),
        _leaf_confidence("best_leaf_confidence"),
        sa.Column("second_leaf", sa.Text),
        _leaf_confidence("second_leaf_confidence"),
        sa.Column("leaf_probabilities", sa.Text),  # JSON: leaf -> probability, best first
    ]


def _leaf_confidence(name: str) -> sa.Column[object]:
    """A column with its own check: SQLite adds one to a table only together with a column."""
    return sa.Column(name, sa.Double, sa.CheckConstraint(f"{name} BETWEEN 0 AND 1", name))


def _quoted(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


LABEL_PARTS = ("category", "gender", "type")
LABEL_COLUMNS = tuple(str(column.name) for column in _label_columns())
MEASURES = (
    "category_confidence",
    "gender_confidence",
    "type_confidence",
    "confidence",
    "margin",
)
CONFIDENCES = (*MEASURES, "best_leaf_confidence", "second_leaf_confidence")
# Literals, because a planner can match a partial index only to a value that it sees. A bound
# parameter of a prepared statement could be any status.
STATUS_LITERALS = {status: sa.literal_column(f"'{status}'", sa.Text) for status in STATUSES}
FAILED = f"status IN ({_quoted(FAILED_STATUSES)})"
_IN_RANGE = " AND ".join(f"({name} IS NULL OR {name} BETWEEN 0 AND 1)" for name in MEASURES)

crawls = sa.Table(
    "crawls",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("archived_at", UtcDateTime),
    sa.Column("note", sa.Text),
)

model_versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("source", sa.Text),  # where the bundle was loaded from
    sa.Column("figures", sa.JSON, nullable=False),  # as measured when it was trained
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    # new labels come from this model, or it was the last one switched to
    sa.Column("in_use", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("in_use_since", UtcDateTime),
    sa.Column("in_use_until", UtcDateTime),
)

# new pictures of the shop are labelled by this model
shop_models = sa.Table(
    "shop_models",
    metadata,
    sa.Column("shop", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("chosen_at", UtcDateTime, nullable=False),
)

locks = sa.Table(
    "locks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text),
    sa.Column("until", UtcDateTime),
)

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("gender", sa.Text),
    sa.Column("type", sa.Text),
    sa.Column("is_leaf", sa.Boolean, nullable=False),
)

# one row per label and level; the second of 'kids/winter/boots': 2, 'winter', 'kids/winter'
label_levels = sa.Table(
    "label_levels",
    metadata,
    sa.Column("label", sa.Text, sa.ForeignKey("labels.label"), primary_key=True),
    sa.Column("depth", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("ancestor", sa.Text, nullable=False),
)


def _picture_table(name: str) -> sa.Table:
    """A table of pictures: `catalogue`, or `relabels` with the labels of a model on trial."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", Id, primary_key=True),
        sa.Column("crawl", sa.Text, sa.ForeignKey("crawls.name"), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("path_key", sa.LargeBinary(16), nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("shop", sa.Text),
        sa.Column("product_id", sa.Text),
        sa.Column("size", sa.BigInteger),
        sa.Column("mtime", sa.Double),
        sa.Column("content_hash", sa.Text),
        *_label_columns(),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("deaths_alone", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("claimed_by", sa.Text),
        sa.Column("claimed_until", UtcDateTime),
        sa.Column("claimed_alone", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("human_label", sa.Text),
        # the label that counts: a person's, or else the model's
        sa.Column("label", sa.Text, sa.Computed("coalesce(human_label, model_label)")),
        # raised by each request; a message of an earlier one changes nothing
        sa.Column("generation", sa.Integer, nullable=False, server_default="0"),
        sa.Column("detail", sa.Text),  # the words of the decoder or of the system
        # trouble that may pass: how often and since when; no lease before `not_before`
        sa.Column("put_offs", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("put_off_since", UtcDateTime),
        sa.Column("not_before", UtcDateTime),
        sa.UniqueConstraint("crawl", "path_key"),
        sa.ForeignKeyConstraint(["model_label"], ["labels.label"], name=f"fk_{name}_label"),
        sa.ForeignKeyConstraint(["human_label"], ["labels.label"]),
        sa.CheckConstraint(f"status IN ({_quoted(STATUSES)})", "status"),
        sa.CheckConstraint(
            "(status = 'labelled') = (model_label IS NOT NULL)", "labelled_has_label"
        ),
        sa.CheckConstraint(
            "model_label IS NULL OR (category IS NOT NULL AND best_leaf IS NOT NULL AND "
            "confidence IS NOT NULL AND model_version IS NOT NULL AND labelled_at IS NOT NULL)",
            "label_is_whole",
        ),
        sa.CheckConstraint("status <> 'rejected' OR reason IS NOT NULL", "rejected_has_reason"),
        sa.CheckConstraint(_IN_RANGE, "confidences"),
        sa.CheckConstraint("(claimed_by IS NULL) = (claimed_until IS NULL)", "lease_is_whole"),
        sa.CheckConstraint("attempts >= 0 AND deaths_alone >= 0", "attempts"),
    )


def _index(
    name: str,
    *columns: sa.ColumnElement[Any],
    where: str | None = None,
    sqlite_where: str | None = None,
) -> None:
    """Add an index; a partial one with `where`.

    SQLite uses a partial index only for a query with exactly the same words: `STATUS_LITERALS` for
    a status, and "= 1" for a boolean, which is how SQLAlchemy renders one there.
    """
    predicate = None if where is None else sa.text(where)
    on_sqlite = predicate if sqlite_where is None else sa.text(sqlite_where)
    sa.Index(name, *columns, postgresql_where=predicate, sqlite_where=on_sqlite)


def _queue_indexes(table: sa.Table) -> None:
    """The indexes of the queue; the first two are empty when no row is pending."""
    prefix, column = f"ix_{table.name}", table.c
    _index(f"{prefix}_pending", column.crawl, column.id, where="status = 'pending'")
    _index(f"{prefix}_claimed_by", column.claimed_by, where="claimed_by IS NOT NULL")
    _index(
        f"{prefix}_content_hash",
        column.content_hash,
        column.model_version,
        where="content_hash IS NOT NULL",
    )


catalogue = _picture_table("catalogue")
relabels = _picture_table("relabels")
_queue_indexes(catalogue)
_queue_indexes(relabels)

# the row of `relabels` for the same picture
same_picture = sa.and_(
    relabels.c.crawl == catalogue.c.crawl, relabels.c.path_key == catalogue.c.path_key
)


def same_bytes(table: sa.Table) -> sa.ColumnElement[bool]:
    """No known difference between the content hashes of `table` and `catalogue`."""
    old, new = table.c.content_hash, catalogue.c.content_hash
    return sa.or_(old.is_(None), new.is_(None), old == new)


# Each serves a filter of `query`; what each costs is in docs/scale.md.
_index("ix_catalogue_label", catalogue.c.label, catalogue.c.id, where="label IS NOT NULL")
_index("ix_catalogue_crawl_id", catalogue.c.crawl, catalogue.c.id)
_index("ix_catalogue_shop", catalogue.c.shop, catalogue.c.id, where="shop IS NOT NULL")
_index(
    "ix_catalogue_labelled_at",
    catalogue.c.labelled_at,
    catalogue.c.id,
    where="labelled_at IS NOT NULL",
)
_index("ix_catalogue_failed", catalogue.c.status, catalogue.c.id, where=FAILED)
_index("ix_catalogue_reason", catalogue.c.reason, catalogue.c.id, where="reason IS NOT NULL")
_index(
    "ix_catalogue_review",
    catalogue.c.confidence,
    catalogue.c.id,
    where="needs_review",
    sqlite_where="needs_review = 1",
)
_index("ix_catalogue_corrected", catalogue.c.id, where="human_label IS NOT NULL")
# a page of a model's rows, and pages in order of confidence and margin
for _name in ("model_version", "confidence", "margin"):
    _index(
        f"ix_catalogue_{_name}",
        catalogue.c[_name],
        catalogue.c.id,
        where=f"{_name} IS NOT NULL",
    )


def _log_table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    """A table whose rows belong to a row of `catalogue` and are deleted with it."""
    row = sa.ForeignKey("catalogue.id", ondelete="CASCADE")
    return sa.Table(
        name,
        metadata,
        sa.Column("id", Id, primary_key=True),
        sa.Column("catalogue_id", Id, row, nullable=False, index=True),
        *columns,
    )


corrections = _log_table(
    "corrections",
    sa.Column("corrected_by", sa.Text, nullable=False),
    sa.Column("corrected_at", UtcDateTime, nullable=False),
    sa.Column("from_label", sa.Text),
    sa.Column("to_label", sa.Text, sa.ForeignKey("labels.label")),  # NULL: withdrawn
    sa.Column("model_label", sa.Text),  # the model's label at that time
    sa.Column("note", sa.Text),
    sa.Column("batch", sa.Text),  # the action; NULL: an entry of before schema 0009
    sa.Column("from_human_label", sa.Text),  # a person's label before, where from_label counted
    sa.Column("undoes", sa.Text),  # the batch that this entry takes back
)
_log = corrections.c
_index("ix_corrections_batch", _log.batch, _log.catalogue_id, where="batch IS NOT NULL")
_index("ix_corrections_undoes", _log.undoes, where="undoes IS NOT NULL")
_index("ix_corrections_corrected_at", _log.corrected_at)
label_history = _log_table(
    "label_history",
    sa.Column("content_hash", sa.Text),
    *_label_columns(),
    sa.Column("replaced_at", UtcDateTime, nullable=False),
)

audits = sa.Table(
    "audits",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column(
        "crawl",
        sa.Text,
        sa.ForeignKey("crawls.name", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),  # what was drawn from what, and what is to be shown
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("started_by", sa.Text, nullable=False),
    sa.Column("report", sa.JSON(none_as_null=True)),
    sa.Column("reported_at", UtcDateTime),
)

# the sample; labels are those of when it was drawn, the row goes where it is forgotten
audit_pictures = sa.Table(
    "audit_pictures",
    metadata,
    sa.Column("audit_id", Id, sa.ForeignKey("audits.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("catalogue_id", Id, sa.ForeignKey("catalogue.id", ondelete="SET NULL"), index=True),
    sa.Column("model_label", sa.Text, nullable=False),
    sa.Column("best_leaf", sa.Text, nullable=False),
    sa.Column("confidence", sa.Double, nullable=False),
    sa.Column("sure", sa.Boolean, nullable=False),
    sa.Column("extra", sa.Boolean, nullable=False),
)

# short vectors of pictures (`db.features`); those of different digests cannot be compared
features = sa.Table(
    "features",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),  # of the trunk and the directions
    sa.Column("vector", sa.LargeBinary, nullable=False),  # int8
    sa.UniqueConstraint("content_hash", "digest"),
)
_index("ix_features_digest", features.c.digest, features.c.id)

forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("forgotten_at", UtcDateTime, nullable=False),
    sa.Column("forgotten_by", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),  # BLAKE2b of the crawl, path or hash
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("note", sa.Text),
    sa.CheckConstraint("kind IN ('crawl', 'path', 'hash')", "kind"),
)

# The number of rows per label. Triggers keep it in the transaction that changes a row, whichever
# program does so. On PostgreSQL they append to `catalogue_count_changes`, so that writers never
# wait for each other; `db.writes.counters` merges these into `catalogue_counts` now and then.
# SQLite has one writer at a time and counts in place.
COUNTED = ("crawl", "shop", "model_version", "day", "status", "label", "reason")


def _counter_columns() -> list[sa.Column[Any]]:
    """The grouping columns, '' in place of NULL so that they can form a key, and two sums."""
    return [
        *(sa.Column(name, sa.Text, nullable=False) for name in COUNTED),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("sum_confidence", sa.Double, nullable=False),
    ]


catalogue_counts = sa.Table(
    "catalogue_counts",
    metadata,
    *_counter_columns(),
    sa.PrimaryKeyConstraint(*COUNTED),
    sqlite_with_rowid=False,
)
catalogue_count_changes = sa.Table("catalogue_count_changes", metadata, *_counter_columns())

# views: the union of both tables above, and their sums by crawl, status, label and reason
catalogue_counted = sa.table(
    "catalogue_counted",
    *(sa.column(column.name, column.type) for column in _counter_columns()),
)
catalogue_summary = sa.table(
    "catalogue_summary",
    *(sa.column(name, sa.Text) for name in ("crawl", "status", "label", "reason")),
    sa.column("rows", sa.BigInteger),
)
