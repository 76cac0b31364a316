"""The first tables: crawls, model_versions, labels, catalogue, label_history.

Revision 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
STATUS = "status IN ('pending', 'labelled', 'rejected', 'quarantined', 'cancelled')"
WHOLE = (
    "label IS NULL OR (category IS NOT NULL AND best_leaf IS NOT NULL AND "
    "confidence IS NOT NULL AND model_version IS NOT NULL AND labelled_at IS NOT NULL)"
)
RANGE = (
    "(category_confidence IS NULL OR category_confidence BETWEEN 0 AND 1) AND "
    "(gender_confidence IS NULL OR gender_confidence BETWEEN 0 AND 1) AND "
    "(type_confidence IS NULL OR type_confidence BETWEEN 0 AND 1) AND "
    "(confidence IS NULL OR confidence BETWEEN 0 AND 1) AND "
    "(margin IS NULL OR margin BETWEEN 0 AND 1)"
)


def label_columns() -> list[sa.Column[object]]:
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
        sa.Column("labelled_at", TIME),
    ]


def upgrade() -> None:
    op.create_table(
        "crawls",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("archived_at", TIME),
        sa.Column("note", sa.Text),
        sa.PrimaryKeyConstraint("name", name="pk_crawls"),
    )
    op.create_table(
        "model_versions",
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("source", sa.Text),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("first_seen_at", TIME, nullable=False),
        sa.Column("in_use", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("version", name="pk_model_versions"),
    )
    op.create_table(
        "labels",
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("gender", sa.Text),
        sa.Column("type", sa.Text),
        sa.Column("is_leaf", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("label", name="pk_labels"),
    )
    create_pictures("catalogue")
    op.create_table(
        "label_history",
        sa.Column("id", ID, nullable=False),
        sa.Column("catalogue_id", ID, nullable=False),
        sa.Column("content_hash", sa.Text),
        *label_columns(),
        sa.Column("replaced_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_label_history"),
        sa.ForeignKeyConstraint(
            ["catalogue_id"],
            ["catalogue.id"],
            name="fk_label_history_catalogue_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_label_history_catalogue_id", "label_history", ["catalogue_id"])


def create_pictures(table: str, *more: sa.schema.SchemaItem) -> None:
    """Create a table of pictures with its constraints and the indexes of the queue."""
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("crawl", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("path_key", sa.LargeBinary(16), nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("shop", sa.Text),
        sa.Column("product_id", sa.Text),
        sa.Column("size", sa.BigInteger),
        sa.Column("mtime", sa.Double),
        sa.Column("content_hash", sa.Text),
        *label_columns(),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("deaths_alone", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("claimed_by", sa.Text),
        sa.Column("claimed_until", TIME),
        sa.Column("claimed_alone", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint("crawl", "path_key", name=f"uq_{table}_crawl_path_key"),
        sa.ForeignKeyConstraint(["crawl"], ["crawls.name"], name=f"fk_{table}_crawl"),
        sa.ForeignKeyConstraint(["label"], ["labels.label"], name=f"fk_{table}_label"),
        sa.CheckConstraint(STATUS, name=op.f(f"ck_{table}_status")),
        sa.CheckConstraint(
            "(status = 'labelled') = (label IS NOT NULL)",
            name=op.f(f"ck_{table}_labelled_has_label"),
        ),
        sa.CheckConstraint(WHOLE, name=op.f(f"ck_{table}_label_is_whole")),
        sa.CheckConstraint(
            "status <> 'rejected' OR reason IS NOT NULL",
            name=op.f(f"ck_{table}_rejected_has_reason"),
        ),
        sa.CheckConstraint(RANGE, name=op.f(f"ck_{table}_confidences")),
        sa.CheckConstraint(
            "(claimed_by IS NULL) = (claimed_until IS NULL)",
            name=op.f(f"ck_{table}_lease_is_whole"),
        ),
        sa.CheckConstraint(
            "attempts >= 0 AND deaths_alone >= 0", name=op.f(f"ck_{table}_attempts")
        ),
        *more,
    )
    partial(table, "pending", ["crawl", "id"], "status = 'pending'")
    partial(table, "claimed_by", ["claimed_by"], "claimed_by IS NOT NULL")
    partial(table, "content_hash", ["content_hash", "model_version"], "content_hash IS NOT NULL")


def partial(table: str, name: str, columns: list[str], where: str) -> None:
    part = sa.text(where)
    op.create_index(f"ix_{table}_{name}", table, columns, sqlite_where=part, postgresql_where=part)


def downgrade() -> None:
    for table in ("label_history", "catalogue", "labels", "model_versions", "crawls"):
        op.drop_table(table)
