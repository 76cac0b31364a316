"""Crawls, model versions and their labels: the rows that others refer to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db import bulk
from db.convert import text
from db.models import catalogue_counted, crawls, labels, model_versions
from db.records import LabelEntry, ModelRecord, check_labels


def ensure_crawl(connection: Connection, crawl: str, now: datetime) -> None:
    """Make the crawl's row where there is none."""
    name = text(crawl, "crawl")
    bulk.insert(connection, crawls, [{"name": name, "created_at": now}])


def register(
    connection: Connection,
    version: str,
    entries: Sequence[LabelEntry],
    source: str | None,
    figures: dict[str, object],
) -> None:
    """Write a model version and the labels of its taxonomy; what is known already stays.

    Raises:
        ValueError: a label stands twice, or has no category.
    """
    check_labels(entries)
    row = {
        "version": version,
        "source": source,
        "figures": figures,
        "first_seen_at": datetime.now(UTC),
    }
    known = connection.execute(
        sa.select(model_versions.c.version).where(model_versions.c.version == version)
    ).first()
    if known is None:
        bulk.insert(connection, model_versions, [row])
    rows = [
        {
            "label": entry.label,
            "category": entry.category,
            "gender": entry.gender,
            "type": entry.type,
            "is_leaf": entry.is_leaf,
        }
        for entry in sorted(entries, key=lambda entry: entry.label)
    ]
    bulk.insert(connection, labels, rows)


def label_names(connection: Connection) -> frozenset[str]:
    """All labels of all registered taxonomies."""
    return frozenset(connection.execute(sa.select(labels.c.label)).scalars())


def models(connection: Connection) -> list[ModelRecord]:
    """The registered models, oldest first."""
    columns = [
        model_versions.c[name] for name in ModelRecord.__dataclass_fields__ if name != "rows"
    ]
    counted = (
        sa.select(sa.func.coalesce(sa.func.sum(catalogue_counted.c.rows), 0))
        .where(catalogue_counted.c.model_version == model_versions.c.version)
        .where(catalogue_counted.c.status == "labelled")
        .scalar_subquery()
    )
    query = sa.select(*columns, counted).order_by(
        model_versions.c.first_seen_at, model_versions.c.version
    )
    return [
        ModelRecord(row[0], row[1], row[2], row[3], row[4], int(row[5]))
        for row in connection.execute(query)
    ]
