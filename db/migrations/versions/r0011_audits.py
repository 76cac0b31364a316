"""Audits: samples that were drawn before anybody looked, and what they showed.

Revision 0011.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.column_types import Id, UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audits",
        sa.Column("id", Id, nullable=False),
        sa.Column("crawl", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("started_by", sa.Text, nullable=False),
        sa.Column("report", sa.JSON),
        sa.Column("reported_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_audits"),
        sa.ForeignKeyConstraint(
            ["crawl"], ["crawls.name"], name="fk_audits_crawl", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_audits_crawl", "audits", ["crawl"])
    op.create_table(
        "audit_pictures",
        sa.Column("audit_id", Id, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("catalogue_id", Id),
        sa.Column("model_label", sa.Text, nullable=False),
        sa.Column("best_leaf", sa.Text, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("sure", sa.Boolean, nullable=False),
        sa.Column("extra", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("audit_id", "number", name="pk_audit_pictures"),
        sa.ForeignKeyConstraint(
            ["audit_id"], ["audits.id"], name="fk_audit_pictures_audit_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["catalogue_id"],
            ["catalogue.id"],
            name="fk_audit_pictures_catalogue_id",
            ondelete="SET NULL",
        ),
    )
    op.create_index("ix_audit_pictures_catalogue_id", "audit_pictures", ["catalogue_id"])


def downgrade() -> None:
    op.drop_table("audit_pictures")
    op.drop_table("audits")
