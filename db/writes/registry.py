"""Crawls, model versions and labels: the rows that pictures refer to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.records import LabelEntry, ModelVersion, check_labels
from db.tables import (
    catalogue_counted,
    crawls,
    label_levels,
    labels,
    model_versions,
    relabels,
)
from db.writes import bulk
from db.writes.row_values import checked_text


def ensure_crawl(connection: Connection, crawl: str, now: datetime) -> None:
    """Add the crawl if it does not exist."""
    name = checked_text(crawl, "crawl")
    bulk.insert(connection, crawls, [{"name": name, "created_at": now}])


def register(
    connection: Connection,
    version: str,
    entries: Sequence[LabelEntry],
    source: str | None,
    figures: dict[str, object],
) -> None:
    """Add a model version and the labels of its taxonomy; existing rows stay unchanged.

    Raises:
        ValueError: a label is listed twice, or has no category.
    """
    check_labels(entries)
    row = {
        "version": version,
        "source": source,
        "figures": figures,
        "first_seen_at": datetime.now(UTC),
    }
    if version not in versions(connection):
        bulk.insert(connection, model_versions, [row])
    rows = [vars(entry) for entry in sorted(entries, key=lambda entry: entry.label)]
    bulk.insert(connection, labels, rows)
    bulk.insert(
        connection, label_levels, [level for row in rows for level in _levels(row["label"])]
    )


def _levels(label: str) -> list[dict[str, object]]:
    """The rows of `label_levels` for one label."""
    names = label.split("/")
    return [
        {"label": label, "depth": depth, "name": name, "ancestor": "/".join(names[:depth])}
        for depth, name in enumerate(names, 1)
    ]


def put_in_use(
    connection: Connection, version: str, now: datetime, *, only_if_none: bool = False
) -> None:
    """Mark `version` as the one model in use from now on.

    With `only_if_none`, change nothing while another model is in use.
    """
    table = model_versions
    others = sa.and_(table.c.in_use, table.c.version != version)
    if only_if_none and connection.execute(sa.select(table.c.version).where(others)).first():
        return
    connection.execute(sa.update(table).where(others).values(in_use=False, in_use_until=now))
    connection.execute(
        sa.update(table)
        .where(table.c.version == version, sa.not_(table.c.in_use))
        .values(in_use=True, in_use_since=now, in_use_until=None)
    )


def label_names(connection: Connection) -> frozenset[str]:
    """The labels of all registered taxonomies."""
    return frozenset(connection.execute(sa.select(labels.c.label)).scalars())


def versions(connection: Connection) -> list[str]:
    """The names of the registered model versions."""
    return list(connection.execute(sa.select(model_versions.c.version)).scalars())


def registered_models(connection: Connection) -> list[ModelVersion]:
    """The registered model versions, oldest first, with the number of rows of each."""
    labelled = (
        sa.select(sa.func.coalesce(sa.func.sum(catalogue_counted.c.rows), 0))
        .where(catalogue_counted.c.model_version == model_versions.c.version)
        .where(catalogue_counted.c.status == "labelled")
        .scalar_subquery()
    )
    query = sa.select(model_versions, labelled.label("rows")).order_by(
        model_versions.c.first_seen_at, model_versions.c.version
    )
    relabelled = {
        (version, status): int(rows)
        for version, status, rows in connection.execute(
            sa.select(relabels.c.model_version, relabels.c.status, sa.func.count()).group_by(
                relabels.c.model_version, relabels.c.status
            )
        )
    }
    return [
        ModelVersion(
            **{
                **row,
                "rows": int(row["rows"]),
                "waiting": relabelled.get((row["version"], "pending"), 0),
                "ready": relabelled.get((row["version"], "labelled"), 0),
            }
        )
        for row in connection.execute(query).mappings()
    ]
