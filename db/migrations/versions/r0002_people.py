"""Tables for corrections, deletions on record and relabelling; indexes for queries.

Revision 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.versions import r0001_first_tables as first

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EFFECTIVE = "coalesce(human_label, label)"
FAILED = "status IN ('rejected', 'quarantined', 'cancelled')"
INDEXES: tuple[tuple[str, list[str | sa.TextClause], str | None], ...] = (
    ("ix_catalogue_label", [sa.text(EFFECTIVE), "id"], None),
    ("ix_catalogue_crawl_id", ["crawl", "id"], None),
    ("ix_catalogue_shop", ["shop", "id"], "shop IS NOT NULL"),
    ("ix_catalogue_labelled_at", ["labelled_at", "id"], None),
    ("ix_catalogue_failed", ["status", "id"], FAILED),
    ("ix_catalogue_review", ["confidence", "id"], "needs_review"),
    ("ix_catalogue_corrected", ["id"], "human_label IS NOT NULL"),
)
CATALOGUE_LABELS = """
CREATE VIEW catalogue_labels AS
SELECT c.id, c.crawl, c.path, c.url, c.shop, c.product_id, c.content_hash,
    coalesce(c.human_label, c.label) AS label,
    CASE WHEN c.human_label IS NULL THEN c.category ELSE h.category END AS category,
    CASE WHEN c.human_label IS NULL THEN c.gender ELSE h.gender END AS gender,
    CASE WHEN c.human_label IS NULL THEN c.type ELSE h.type END AS type,
    CASE WHEN c.human_label IS NULL THEN 'model' ELSE 'human' END AS labelled_by,
    c.label AS model_label, c.confidence, c.margin, c.model_version, c.labelled_at
FROM catalogue c LEFT JOIN labels h ON h.label = c.human_label
WHERE coalesce(c.human_label, c.label) IS NOT NULL
"""


def upgrade() -> None:
    op.execute(
        "ALTER TABLE catalogue ADD COLUMN human_label TEXT "
        "CONSTRAINT fk_catalogue_human_label REFERENCES labels (label)"
    )
    for name, columns, where in INDEXES:
        part = None if where is None else sa.text(where)
        # SQLite uses a partial index only for a query with the same words
        on_sqlite = sa.text("needs_review = 1") if where == "needs_review" else part
        op.create_index(name, "catalogue", columns, sqlite_where=on_sqlite, postgresql_where=part)
    _create_relabels()
    _create_logs()
    op.execute(CATALOGUE_LABELS)


def _create_relabels() -> None:
    first.create_pictures(
        "relabels",
        sa.Column("human_label", sa.Text),
        sa.ForeignKeyConstraint(["human_label"], ["labels.label"], name="fk_relabels_human_label"),
    )


def _create_logs() -> None:
    op.create_table(
        "corrections",
        sa.Column("id", first.ID, nullable=False),
        sa.Column("catalogue_id", first.ID, nullable=False),
        sa.Column("corrected_by", sa.Text, nullable=False),
        sa.Column("corrected_at", first.TIME, nullable=False),
        sa.Column("from_label", sa.Text),
        sa.Column("to_label", sa.Text),
        sa.Column("model_label", sa.Text),
        sa.Column("note", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_corrections"),
        sa.ForeignKeyConstraint(
            ["catalogue_id"],
            ["catalogue.id"],
            name="fk_corrections_catalogue_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["to_label"], ["labels.label"], name="fk_corrections_to_label"),
    )
    op.create_index("ix_corrections_catalogue_id", "corrections", ["catalogue_id"])
    op.create_table(
        "forgotten",
        sa.Column("id", first.ID, nullable=False),
        sa.Column("forgotten_at", first.TIME, nullable=False),
        sa.Column("forgotten_by", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_forgotten"),
        sa.CheckConstraint("kind IN ('crawl', 'path', 'hash')", name=op.f("ck_forgotten_kind")),
    )


def downgrade() -> None:
    op.execute("DROP VIEW catalogue_labels")
    for table in ("forgotten", "corrections", "relabels"):
        op.drop_table(table)
    for name, _, _ in INDEXES:
        op.drop_index(name, "catalogue")
    # plain SQL: Alembic would copy SQLite's table, and dropping the old one would delete the
    # history (ON DELETE CASCADE)
    op.execute("ALTER TABLE catalogue DROP COLUMN human_label")
