"""Which model labels the pictures of a shop.

Revision 0013.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.column_types import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shop_models",
        sa.Column("shop", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("chosen_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("shop", name="pk_shop_models"),
        sa.ForeignKeyConstraint(
            ["version"], ["model_versions.version"], name="fk_shop_models_version"
        ),
    )


def downgrade() -> None:
    op.drop_table("shop_models")
