"""`db check`: is the catalogue what the code takes it for?"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import schema
from db.session import reading
from db.tables import catalogue, metadata, model_versions
from db.writes import counters


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, and what can be done."""

    what: str
    advice: str


def check(engine: Engine) -> list[Finding]:
    """Everything that is wrong; an empty list when all is well.

    Raises:
        SchemaMissing, SchemaTooOld, SchemaTooNew: the rest cannot be looked at then.
    """
    schema.require_current(engine)
    with reading(engine) as connection:
        return [
            *schema_findings(connection),
            *orphan_findings(connection),
            *count_findings(connection),
            *integrity_findings(connection),
        ]


def schema_findings(connection: Connection) -> list[Finding]:
    """Where the tables differ from the models."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    options = {"compare_type": True, "include_object": _ours}
    with warnings.catch_warnings():
        # SQLite cannot show the expression of an index; its name is compared all the same
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression")
        warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression")
        context = MigrationContext.configure(connection, opts=options)
        found = compare_metadata(context, metadata)
    made = [
        Finding(f"the schema differs from the code: {difference}", "restore what was there")
        for difference in found
    ]
    return made + _missing_indexes(connection)


def _ours(item: object, name: str | None, kind: str, reflected: bool, _other: object) -> bool:
    """Only what the models name: people may add tables and indexes of their own."""
    return not (kind in ("table", "index") and reflected and _other is None)


def _missing_indexes(connection: Connection) -> list[Finding]:
    """Expression indexes, which the comparison skips on SQLite, by name."""
    if connection.dialect.name != "sqlite":
        return []
    wanted = {
        str(index.name)
        for index in catalogue.indexes
        if not all(isinstance(expression, sa.Column) for expression in index.expressions)
    }
    rows = connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'index'"))
    missing = sorted(wanted - set(rows.scalars()))
    return [Finding(f"the index {name} is missing", "restore what was there") for name in missing]


def orphan_findings(connection: Connection) -> list[Finding]:
    """Rows that name a model which is not registered."""
    known = sa.select(model_versions.c.version)
    query = (
        sa.select(catalogue.c.model_version, sa.func.count())
        .where(catalogue.c.status == "labelled", catalogue.c.model_version.not_in(known))
        .group_by(catalogue.c.model_version)
    )
    return [
        Finding(
            f"{number} rows were labelled by model {version}, which is not registered",
            "register it: fashion-cascade models use with its bundle, or label with it once",
        )
        for version, number in connection.execute(query)
    ]


def count_findings(connection: Connection) -> list[Finding]:
    """Where the counters and the rows disagree."""
    return [
        Finding(f"the counters do not add up: {difference}", "count anew: db check --recount")
        for difference in counters.differences(connection)
    ]


def integrity_findings(connection: Connection) -> list[Finding]:
    """What SQLite itself finds: broken pages, and foreign keys that lead nowhere."""
    if connection.dialect.name != "sqlite":
        return []
    found = list(connection.exec_driver_sql("PRAGMA quick_check").scalars())
    broken = [Finding(f"SQLite: {line}", "restore a backup") for line in found if line != "ok"]
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return broken + [
        Finding(f"table {table}, row {row}: refers to a missing {other}", "restore a backup")
        for table, row, other, _ in dangling
    ]
