"""The two best leaves of a label with their probabilities, and those of all leaves.

Revision 0008. The columns are empty in existing rows, which are not rewritten.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = ("catalogue", "relabels", "label_history")
CONFIDENCES = ("best_leaf_confidence", "second_leaf_confidence")
TEXTS = ("second_leaf", "leaf_probabilities")


def upgrade() -> None:
    kind = sa.Double().compile(op.get_bind().dialect)
    for table in TABLES:
        for name in CONFIDENCES:  # SQLite adds a check only together with its column
            check = f"CONSTRAINT ck_{table}_{name} CHECK ({name} BETWEEN 0 AND 1)"
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind} {check}")
        for name in TEXTS:
            op.add_column(table, sa.Column(name, sa.Text))


def downgrade() -> None:
    for table in TABLES:
        for name in (*TEXTS, *CONFIDENCES):
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
