"""Vectors of pictures, by the hash of their bytes.

Revision 0012.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.column_types import Id

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "features",
        sa.Column("id", Id, primary_key=True),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("content_hash", "digest", name="uq_features_content_hash_digest"),
    )
    op.create_index("ix_features_digest", "features", ["digest", "id"])


def downgrade() -> None:
    op.drop_table("features")
