"""`db check`: verify schema, counters and references."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import schema
from db.session import reading
from db.tables import catalogue, metadata, model_versions
from db.writes import counters

UNDO = "restore the original schema"


@dataclass(frozen=True)
class Finding:
    """A problem and its remedy."""

    what: str
    advice: str


def check(engine: Engine) -> list[Finding]:
    """All problems found; an empty list if there are none.

    Raises:
        SchemaMissing, SchemaTooOld, SchemaTooNew: the other checks need the current schema.
    """
    schema.require_current(engine)
    with reading(engine) as connection:
        return [
            *_schema_findings(connection),
            *_orphan_findings(connection),
            *_counter_findings(connection),
            *_integrity_findings(connection),
        ]


def _schema_findings(connection: Connection) -> list[Finding]:
    """Differences between the database's schema and `db.tables`."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    options = {"compare_type": True, "include_object": _is_defined}
    with warnings.catch_warnings():
        # SQLite cannot reflect the expression of an index; `_missing_indexes` compares its name
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression")
        warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression")
        context = MigrationContext.configure(connection, opts=options)
        found = compare_metadata(context, metadata)
    return [
        *(Finding(f"the schema differs from the code: {difference}", UNDO) for difference in found),
        *_missing_indexes(connection),
    ]


def _is_defined(
    _item: object, _name: str | None, kind: str, reflected: bool, compared_to: object
) -> bool:
    """Whether to compare an object: users may add their own tables and indexes."""
    return not (kind in ("table", "index") and reflected and compared_to is None)


def _missing_indexes(connection: Connection) -> list[Finding]:
    """Missing expression indexes, which Alembic's comparison skips on SQLite."""
    if connection.dialect.name != "sqlite":
        return []
    wanted = {
        str(index.name)
        for index in catalogue.indexes
        if not all(isinstance(expression, sa.Column) for expression in index.expressions)
    }
    rows = connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'index'"))
    missing = sorted(wanted - set(rows.scalars()))
    return [Finding(f"the index {name} is missing", UNDO) for name in missing]


def _orphan_findings(connection: Connection) -> list[Finding]:
    """Rows labelled by a model version that is not registered."""
    known = sa.select(model_versions.c.version)
    query = (
        sa.select(catalogue.c.model_version, sa.func.count())
        .where(catalogue.c.status == "labelled", catalogue.c.model_version.not_in(known))
        .group_by(catalogue.c.model_version)
    )
    return [
        Finding(
            f"{number} rows were labelled by model {version}, which is not registered",
            "register it: fashion-cascade label with its bundle as --model",
        )
        for version, number in connection.execute(query)
    ]


def _counter_findings(connection: Connection) -> list[Finding]:
    """Differences between the counters and the rows."""
    return [
        Finding(f"the counters are wrong: {difference}", "recount: db check --recount")
        for difference in counters.differences(connection)
    ]


def _integrity_findings(connection: Connection) -> list[Finding]:
    """What SQLite's own checks find: corrupt pages and dangling foreign keys."""
    if connection.dialect.name != "sqlite":
        return []
    found = list(connection.exec_driver_sql("PRAGMA quick_check").scalars())
    broken = [Finding(f"SQLite: {line}", "restore a backup") for line in found if line != "ok"]
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return broken + [
        Finding(f"table {table}, row {row}: refers to a missing {other}", "restore a backup")
        for table, row, other, _ in dangling
    ]
