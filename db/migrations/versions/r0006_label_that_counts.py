"""`label` is the label that counts; every level of a label has a row in `label_levels`.

The model's answer moves from `label` to `model_label`. The new `label` is computed: a person's
label, or else the model's. Triggers keep `category`, `gender` and `type` equal to its parts.

Revision 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.versions import r0002_people as people
from db.migrations.versions import r0003_counters as counters

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

RENAMED_IN = ("catalogue", "relabels", "label_history")
COMPUTED_IN = ("catalogue", "relabels")
LABEL = "coalesce(human_label, model_label)"
CATALOGUE_LABELS = """
CREATE VIEW catalogue_labels AS
SELECT id, crawl, path, url, shop, product_id, content_hash, label, category, gender, type,
    CASE WHEN human_label IS NULL THEN 'model' ELSE 'human' END AS labelled_by,
    model_label, human_label, confidence, margin, model_version, labelled_at
FROM catalogue WHERE label IS NOT NULL
"""
PARTS_OF_LABEL = "SELECT category, gender, type FROM labels WHERE label = "
SQLITE_TRIGGERS = {
    "catalogue_label_parts_insert": "AFTER INSERT ON catalogue WHEN NEW.human_label IS NOT NULL",
    "catalogue_label_parts_update": (
        "AFTER UPDATE OF human_label, model_label ON catalogue "
        "WHEN NEW.human_label IS NOT NULL OR OLD.human_label IS NOT NULL"
    ),
}
POSTGRES_FUNCTION = """
CREATE FUNCTION catalogue_label_parts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT l.category, l.gender, l.type INTO NEW.category, NEW.gender, NEW.type
    FROM labels l WHERE l.label = coalesce(NEW.human_label, NEW.model_label);
    RETURN NEW;
END $$
"""
POSTGRES_TRIGGERS = {
    "catalogue_label_parts_insert": (
        "BEFORE INSERT ON catalogue FOR EACH ROW WHEN (NEW.human_label IS NOT NULL)"
    ),
    "catalogue_label_parts_update": (
        "BEFORE UPDATE OF human_label, model_label ON catalogue FOR EACH ROW "
        "WHEN (NEW.human_label IS NOT NULL OR OLD.human_label IS NOT NULL)"
    ),
}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.execute("DROP VIEW catalogue_labels")
    op.drop_index("ix_catalogue_label", "catalogue")
    if dialect == "sqlite":  # a trigger keeps the old column name while it exists
        _drop_counter_triggers()
    for table in RENAMED_IN:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN label TO model_label")
    # SQLite can add only a virtual column to a table, PostgreSQL before 18 only a stored one
    kind = "VIRTUAL" if dialect == "sqlite" else "STORED"
    for table in COMPUTED_IN:
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN label TEXT GENERATED ALWAYS AS ({LABEL}) {kind}"
        )
    _create_label_index("label")
    _create_label_levels()
    # the parts of labels that people gave before this revision
    parts = f"({PARTS_OF_LABEL} catalogue.human_label)"
    op.execute(
        f"UPDATE catalogue SET (category, gender, type) = {parts} WHERE human_label IS NOT NULL"
    )
    _create_part_triggers(dialect)
    if dialect == "sqlite":
        for statement in counters.triggers(dialect):
            op.execute(statement)
    op.execute(CATALOGUE_LABELS)


def _create_label_levels() -> None:
    op.create_table(
        "label_levels",
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("depth", sa.SmallInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("ancestor", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("label", "depth", name="pk_label_levels"),
        sa.ForeignKeyConstraint(["label"], ["labels.label"], name="fk_label_levels_label"),
    )
    rows = []
    for (label,) in op.get_bind().execute(sa.text("SELECT label FROM labels ORDER BY label")):
        names = label.split("/")
        rows += [
            {"label": label, "depth": i, "name": name, "ancestor": "/".join(names[:i])}
            for i, name in enumerate(names, 1)
        ]
    if rows:
        op.get_bind().execute(
            sa.text("INSERT INTO label_levels VALUES (:label, :depth, :name, :ancestor)"), rows
        )


def _create_part_triggers(dialect: str) -> None:
    if dialect == "postgresql":
        op.execute(POSTGRES_FUNCTION)
        for name, event in POSTGRES_TRIGGERS.items():
            op.execute(f"CREATE TRIGGER {name} {event} EXECUTE FUNCTION catalogue_label_parts()")
        return
    update = (
        "UPDATE catalogue SET (category, gender, type) = "
        f"({PARTS_OF_LABEL} coalesce(NEW.human_label, NEW.model_label)) WHERE id = NEW.id"
    )
    for name, event in SQLITE_TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {event} BEGIN {update}; END")


def _create_label_index(label: str) -> None:
    where = sa.text(f"{label} IS NOT NULL")
    op.create_index(
        "ix_catalogue_label",
        "catalogue",
        [sa.text(label), "id"],
        sqlite_where=where,
        postgresql_where=where,
    )


def _drop_counter_triggers() -> None:
    for kind in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER catalogue_count_{kind}")


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    on = " ON catalogue" if dialect == "postgresql" else ""
    op.execute("DROP VIEW catalogue_labels")
    for name in SQLITE_TRIGGERS:
        op.execute(f"DROP TRIGGER {name}{on}")
    if dialect == "postgresql":
        op.execute("DROP FUNCTION catalogue_label_parts()")
    else:
        _drop_counter_triggers()
    op.drop_index("ix_catalogue_label", "catalogue")
    op.drop_table("label_levels")
    # the columns held the parts of the model's label before this revision
    parts = f"({PARTS_OF_LABEL} catalogue.model_label)"
    op.execute(
        f"UPDATE catalogue SET (category, gender, type) = {parts} WHERE human_label IS NOT NULL"
    )
    for table in COMPUTED_IN:
        op.execute(f"ALTER TABLE {table} DROP COLUMN label")
    for table in RENAMED_IN:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN model_label TO label")
    _create_label_index("coalesce(human_label, label)")
    if dialect == "sqlite":
        for statement in counters.triggers(dialect):
            op.execute(statement)
    op.execute(people.CATALOGUE_LABELS)
