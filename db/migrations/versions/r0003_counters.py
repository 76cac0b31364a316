"""Counters kept by triggers, for fast `stats`; the view catalogue_summary.

Revision 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = ("crawl", "shop", "model_version", "day", "status", "label", "reason")
KEYS = ", ".join(KEY)
DAY = {
    "sqlite": "coalesce(substr({row}labelled_at, 1, 10), '')",
    "postgresql": "coalesce(to_char({row}labelled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), '')",
}
SOURCES = [
    "crawl",
    "shop",
    "model_version",
    "labelled_at",
    "status",
    "label",
    "human_label",
    "reason",
    "confidence",
]


def counted(dialect: str, row: str = "") -> str:
    """The values of KEY for a row, '' in place of NULL; `row` is a prefix such as 'NEW.'."""
    return ", ".join(
        (
            f"{row}crawl",
            f"coalesce({row}shop, '')",
            f"coalesce({row}model_version, '')",
            DAY[dialect].format(row=row),
            f"{row}status",
            f"coalesce({row}human_label, {row}label, '')",
            f"coalesce({row}reason, '')",
        )
    )


COUNTED = f"""
CREATE VIEW catalogue_counted AS
SELECT {KEYS}, rows, sum_confidence FROM catalogue_counts
UNION ALL SELECT {KEYS}, rows, sum_confidence FROM catalogue_count_changes
"""
SUMMARY = """
CREATE VIEW catalogue_summary AS
SELECT crawl, status, nullif(label, '') AS label, nullif(reason, '') AS reason,
    CAST(sum(rows) AS bigint) AS rows,
    CASE WHEN status = 'labelled' THEN sum(sum_confidence) / sum(rows) END AS mean_confidence
FROM catalogue_counted GROUP BY crawl, status, label, reason HAVING sum(rows) <> 0
"""
POSTGRES_FUNCTION = f"""
CREATE FUNCTION catalogue_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO catalogue_count_changes ({KEYS}, rows, sum_confidence)
        SELECT {counted("postgresql")}, count(*), coalesce(sum(confidence), 0)
        FROM new_rows GROUP BY 1, 2, 3, 4, 5, 6, 7;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO catalogue_count_changes ({KEYS}, rows, sum_confidence)
        SELECT {counted("postgresql")}, -count(*), -coalesce(sum(confidence), 0)
        FROM old_rows GROUP BY 1, 2, 3, 4, 5, 6, 7;
    ELSE
        INSERT INTO catalogue_count_changes ({KEYS}, rows, sum_confidence)
        SELECT {KEYS}, sum(n), sum(c) FROM (
            SELECT {counted("postgresql")}, 1, coalesce(confidence, 0) FROM new_rows
            UNION ALL
            SELECT {counted("postgresql")}, -1, -coalesce(confidence, 0) FROM old_rows
        ) AS both_rows ({KEYS}, n, c)
        GROUP BY {KEYS} HAVING sum(n) <> 0 OR abs(sum(c)) > 1e-12;
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    _create_table("catalogue_counts", sa.PrimaryKeyConstraint(*KEY, name="pk_catalogue_counts"))
    _create_table("catalogue_count_changes")
    dialect = op.get_bind().dialect.name
    op.execute(
        f"INSERT INTO catalogue_counts ({KEYS}, rows, sum_confidence) "
        f"SELECT {counted(dialect)}, count(*), coalesce(sum(confidence), 0) "
        "FROM catalogue GROUP BY 1, 2, 3, 4, 5, 6, 7"
    )
    for statement in triggers(dialect):
        op.execute(statement)
    op.execute(COUNTED)
    op.execute(SUMMARY)


def _create_table(name: str, *more: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        *(sa.Column(column, sa.Text, nullable=False) for column in KEY),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("sum_confidence", sa.Double, nullable=False),
        *more,
        # the table is its own index: half the size, and one look-up instead of two
        sqlite_with_rowid=not more,
    )


def triggers(dialect: str) -> list[str]:
    """The statements that create the triggers: per statement on PostgreSQL, per row on SQLite."""
    if dialect == "postgresql":
        start = "CREATE TRIGGER catalogue_count_{0} AFTER {0} ON catalogue REFERENCING {1} "
        end = "FOR EACH STATEMENT EXECUTE FUNCTION catalogue_count()"
        new, old = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
        kinds = (("insert", new), ("update", f"{new} {old}"), ("delete", old))
        return [POSTGRES_FUNCTION, *(start.format(*kind) + end for kind in kinds)]
    start = "CREATE TRIGGER catalogue_count_{0} AFTER {0} ON catalogue "
    changed = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in SOURCES)
    return [
        start.format("insert") + f"BEGIN {_add('NEW.', '')}; END",
        start.format("update")
        + f"WHEN {changed} BEGIN {_add('OLD.', '-')}; {_add('NEW.', '')}; END",
        start.format("delete") + f"BEGIN {_add('OLD.', '-')}; END",
    ]


def _add(row: str, sign: str) -> str:
    """Add one row to SQLite's counters, or subtract one."""
    return (
        f"INSERT INTO catalogue_counts ({KEYS}, rows, sum_confidence) VALUES "
        f"({counted('sqlite', row)}, {sign}1, {sign}coalesce({row}confidence, 0)) "
        f"ON CONFLICT ({KEYS}) DO UPDATE SET rows = rows + excluded.rows, "
        "sum_confidence = sum_confidence + excluded.sum_confidence"
    )


def downgrade() -> None:
    on = " ON catalogue" if op.get_bind().dialect.name == "postgresql" else ""
    for kind in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER catalogue_count_{kind}{on}")
    if on:
        op.execute("DROP FUNCTION catalogue_count()")
    for view in ("catalogue_summary", "catalogue_counted"):
        op.execute(f"DROP VIEW {view}")
    for table in ("catalogue_count_changes", "catalogue_counts"):
        op.drop_table(table)
