"""Generations, put-off rows, the words of an error, the backend of a label, and locks.

Revision 0007. Rows are only read and written with these columns by the modules that need them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.versions import r0001_first_tables as first

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PICTURES = ("catalogue", "relabels")
LABELS = (*PICTURES, "label_history")


def _picture_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("generation", sa.Integer, nullable=False, server_default="0"),
        sa.Column("detail", sa.Text),
        sa.Column("put_offs", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("put_off_since", first.TIME),
        sa.Column("not_before", first.TIME),
    ]


def _label_columns() -> list[sa.Column[object]]:
    return [sa.Column("backend", sa.Text), sa.Column("backend_digest", sa.Text)]


def upgrade() -> None:
    for table in PICTURES:
        for column in _picture_columns():
            op.add_column(table, column)
    for table in LABELS:
        for column in _label_columns():
            op.add_column(table, column)
    op.create_table(
        "locks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text),
        sa.Column("until", first.TIME),
    )


def downgrade() -> None:
    op.drop_table("locks")
    for table in LABELS:
        for column in _label_columns():
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column.name}")
    for table in PICTURES:
        for column in _picture_columns():
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column.name}")
