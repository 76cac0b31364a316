"""Indexes for pages of a model's rows, and for pages in order of confidence or of margin.

Revision 0010. Without them, the first page of an earlier model read all rows of the later ones, and
that in order of confidence sorted all labelled rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS = ("model_version", "confidence", "margin")


def upgrade() -> None:
    for name in COLUMNS:
        where = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"ix_catalogue_{name}",
            "catalogue",
            [name, "id"],
            sqlite_where=where,
            postgresql_where=where,
        )


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_index(f"ix_catalogue_{name}", "catalogue")
