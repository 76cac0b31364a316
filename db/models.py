"""The tables. Plain names and columns, so that any SQL tool reads them without this project.

The migrations in ``db/migrations`` make these tables; a test holds both equal. Reasons for the
keys: docs/decisions/0010-rows-keyed-by-path-hash.md.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from db.records import STATUSES

CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = sa.MetaData(naming_convention=CONVENTION)

# SQLite makes a row id of INTEGER PRIMARY KEY only
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Timezone-aware UTC in and out; SQLite itself keeps no zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with a time zone, received {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def path_key(path: str) -> bytes:
    """The 16 bytes that a path is keyed by: paths may be longer than an index entry."""
    return hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _label_columns() -> list[sa.Column[object]]:
    """The columns that hold what a model said, shared by `catalogue` and `label_history`."""
    return [
        sa.Column("category", sa.Text),
        sa.Column("gender", sa.Text),
        sa.Column("type", sa.Text),
        sa.Column("label", sa.Text),
        sa.Column("best_leaf", sa.Text),
        sa.Column("category_confidence", sa.Double),
        sa.Column("gender_confidence", sa.Double),
        sa.Column("type_confidence", sa.Double),
        sa.Column("confidence", sa.Double),
        sa.Column("margin", sa.Double),
        sa.Column("needs_review", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("model_version", sa.Text),
        sa.Column("labelled_at", UtcDateTime),
    ]


LABEL_COLUMNS = tuple(str(column.name) for column in _label_columns())
CONFIDENCES = (
    "category_confidence",
    "gender_confidence",
    "type_confidence",
    "confidence",
    "margin",
)
_IN_RANGE = " AND ".join(f"({name} IS NULL OR {name} BETWEEN 0 AND 1)" for name in CONFIDENCES)

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
    sa.Column("in_use", sa.Boolean, nullable=False, server_default=sa.false()),
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

catalogue = sa.Table(
    "catalogue",
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
    sa.UniqueConstraint("crawl", "path_key"),
    sa.ForeignKeyConstraint(["label"], ["labels.label"]),
    sa.CheckConstraint("status IN ({})".format(", ".join(f"'{s}'" for s in STATUSES)), "status"),
    sa.CheckConstraint("(status = 'labelled') = (label IS NOT NULL)", "labelled_has_label"),
    sa.CheckConstraint(
        "label IS NULL OR (category IS NOT NULL AND best_leaf IS NOT NULL AND "
        "confidence IS NOT NULL AND model_version IS NOT NULL AND labelled_at IS NOT NULL)",
        "label_is_whole",
    ),
    sa.CheckConstraint("status <> 'rejected' OR reason IS NOT NULL", "rejected_has_reason"),
    sa.CheckConstraint(_IN_RANGE, "confidences"),
    sa.CheckConstraint("(claimed_by IS NULL) = (claimed_until IS NULL)", "lease_is_whole"),
    sa.CheckConstraint("attempts >= 0 AND deaths_alone >= 0", "attempts"),
)

sa.Index(
    "ix_catalogue_pending",
    catalogue.c.crawl,
    catalogue.c.id,
    postgresql_where=catalogue.c.status == "pending",
    sqlite_where=catalogue.c.status == "pending",
)
sa.Index(
    "ix_catalogue_claimed_by",
    catalogue.c.claimed_by,
    postgresql_where=catalogue.c.claimed_by.isnot(None),
    sqlite_where=catalogue.c.claimed_by.isnot(None),
)
sa.Index(
    "ix_catalogue_content_hash",
    catalogue.c.content_hash,
    catalogue.c.model_version,
    postgresql_where=catalogue.c.status == "labelled",
    sqlite_where=catalogue.c.status == "labelled",
)

label_history = sa.Table(
    "label_history",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column(
        "catalogue_id",
        Id,
        sa.ForeignKey("catalogue.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("content_hash", sa.Text),
    *_label_columns(),
    sa.Column("replaced_at", UtcDateTime, nullable=False),
)
