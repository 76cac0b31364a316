"""Batches of corrections, and the human label before each: what an undo needs.

Revision 0009. Entries of before have neither, so they cannot be undone as a batch.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = ("batch", "from_human_label", "undoes")
INDEXES = {
    "ix_corrections_batch": (["batch", "catalogue_id"], "batch IS NOT NULL"),
    "ix_corrections_undoes": (["undoes"], "undoes IS NOT NULL"),
    "ix_corrections_corrected_at": (["corrected_at"], None),
}


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("corrections", sa.Column(name, sa.Text))
    for name, (columns, where) in INDEXES.items():
        part = None if where is None else sa.text(where)
        op.create_index(name, "corrections", columns, sqlite_where=part, postgresql_where=part)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "corrections")
    for name in COLUMNS:
        op.execute(f"ALTER TABLE corrections DROP COLUMN {name}")
