"""Partial indexes on labels and times, without pending rows; an index for `--reason`.

A row is written three times (added, claimed, stored), each time also to every index that contains
it. A row without a label is not needed in these.

Revision 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LABEL = "coalesce(human_label, label)"


def upgrade() -> None:
    op.drop_index("ix_catalogue_label", "catalogue")
    op.drop_index("ix_catalogue_labelled_at", "catalogue")
    _create("ix_catalogue_label", [sa.text(LABEL), "id"], f"{LABEL} IS NOT NULL")
    _create("ix_catalogue_labelled_at", ["labelled_at", "id"], "labelled_at IS NOT NULL")
    _create("ix_catalogue_reason", ["reason", "id"], "reason IS NOT NULL")


def downgrade() -> None:
    for name in ("label", "labelled_at", "reason"):
        op.drop_index(f"ix_catalogue_{name}", "catalogue")
    _create("ix_catalogue_label", [sa.text(LABEL), "id"], None)
    _create("ix_catalogue_labelled_at", ["labelled_at", "id"], None)


def _create(name: str, columns: list[str | sa.TextClause], where: str | None) -> None:
    partial = None if where is None else sa.text(where)
    op.create_index(name, "catalogue", columns, sqlite_where=partial, postgresql_where=partial)
