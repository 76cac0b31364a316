"""When a model was in use: model_versions.in_use_since and in_use_until.

Revision 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.versions import r0001_first_tables as first

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = ("in_use_since", "in_use_until")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("model_versions", sa.Column(name, first.TIME))
    # the best known value for a model in use before this revision
    op.execute("UPDATE model_versions SET in_use_since = first_seen_at WHERE in_use")


def downgrade() -> None:
    for name in COLUMNS:
        op.execute(f"ALTER TABLE model_versions DROP COLUMN {name}")
