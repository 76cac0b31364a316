"""`Filter` selects rows; `conditions` turns it into SQL with every value as a parameter."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.label_patterns import matching_labels
from db.records import FAILED_STATUSES, LabelEntry
from db.tables import (
    FAILED,
    MEASURES,
    STATUS_LITERALS,
    audit_pictures,
    catalogue,
    crawls,
    labels,
    path_key,
)

Condition = sa.ColumnElement[bool]


@dataclass(frozen=True)
class Filter:
    """Which rows to select. A row must meet every condition that is not None.

    The label of a row is a person's, or else the model's. In `label`, `category`, `gender`, `type`,
    `path`, `url` and `product_id` a ``*`` matches any characters; no other character is special.
    Labels are compared ignoring case. `best_leaf` is a pattern too: the model's most probable leaf,
    also where the label stops earlier, and whatever a person said. Times are timezone-aware;
    `labelled_after` includes the given time, `labelled_before` excludes it.
    """

    label: str | None = None
    category: str | None = None
    gender: str | None = None
    type: str | None = None
    levels: tuple[tuple[int, str], ...] | None = None  # (depth from 1, pattern of its name)
    best_leaf: str | None = None
    status: str | None = None
    reason: str | None = None
    crawl: str | None = None
    shop: str | None = None
    product_id: str | None = None
    url: str | None = None
    path: str | None = None
    content_hash: str | None = None
    model_version: str | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None
    min_category_confidence: float | None = None
    max_category_confidence: float | None = None
    min_gender_confidence: float | None = None
    max_gender_confidence: float | None = None
    min_type_confidence: float | None = None
    max_type_confidence: float | None = None
    min_best_leaf_confidence: float | None = None
    max_best_leaf_confidence: float | None = None
    min_margin: float | None = None
    max_margin: float | None = None
    labelled_after: datetime | None = None
    labelled_before: datetime | None = None
    needs_review: bool | None = None  # False: labelled, and confident or checked by a person
    corrected: bool | None = None
    duplicates: bool | None = None  # whether another row has the same bytes
    audit: str | None = None  # the sample of the audit with this id


EQUALITY_FILTERS = ("reason", "crawl", "shop", "content_hash", "model_version")
PATTERN_FILTERS = ("url", "path", "product_id")
# The predicate of the partial index ix_catalogue_failed, which a query must repeat literally. Given
# `status = 'rejected'`, SQLite would substitute the value into it, so that it no longer matches the
# index. A cast value is not substituted.
FAILED_ROWS = sa.text(f"catalogue.{FAILED}")
STATUS_VALUES = {name: sa.cast(value, sa.Text) for name, value in STATUS_LITERALS.items()}

# in a row that an earlier version labelled: the confidence of the leaf's last level
BEST_LEAF_CONFIDENCE = sa.func.coalesce(
    *(catalogue.c[f"{level}_confidence"] for level in ("best_leaf", "type", "gender", "category"))
)


def label_entries(connection: Connection) -> list[LabelEntry]:
    """The labels of all registered taxonomies."""
    names = ("label", "category", "gender", "type", "is_leaf")
    query = sa.select(*(labels.c[name] for name in names)).order_by(labels.c.label)
    return [LabelEntry(*values) for values in connection.execute(query)]


def wanted_labels(connection: Connection, wanted: Filter) -> list[str] | None:
    """The labels that the filter matches, sorted; None if it does not filter by label."""
    patterns = {name: getattr(wanted, name) for name in ("label", "category", "gender", "type")}
    if wanted.levels is None and all(pattern is None for pattern in patterns.values()):
        return None
    levels = wanted.levels or ()
    return sorted(matching_labels(label_entries(connection), **patterns, levels=levels))


def wanted_leaves(connection: Connection, wanted: Filter) -> list[str] | None:
    """The labels that `best_leaf` matches, sorted; None if the filter does not have it."""
    if wanted.best_leaf is None:
        return None
    return sorted(matching_labels(label_entries(connection), label=wanted.best_leaf))


def conditions(
    connection: Connection, wanted: Filter, *, without: Collection[str] = ()
) -> list[Condition]:
    """The WHERE conditions of a filter, except those on the fields in `without`."""
    if not all(storable(getattr(wanted, field.name)) for field in fields(wanted)):
        return [sa.false()]
    clauses: list[Condition] = []
    names = None if "label" in without else wanted_labels(connection, wanted)
    if names is not None:
        clauses.append(catalogue.c.label.in_(names))
    leaves = wanted_leaves(connection, wanted)
    if leaves is not None:
        clauses.append(catalogue.c.best_leaf.in_(leaves))
    if wanted.status is not None and "status" not in without:
        clauses += _status_conditions(wanted.status)
    for name in EQUALITY_FILTERS:
        value = getattr(wanted, name)
        if value is not None and name not in without:
            clauses.append(catalogue.c[name] == value)
    for name in PATTERN_FILTERS:
        value = getattr(wanted, name)
        if value is not None:
            clauses.append(_pattern_condition(connection, name, value))
    if wanted.audit is not None:
        clauses.append(audit_condition(wanted.audit))
    if "labelled_at" not in without:
        clauses += time_conditions(wanted, catalogue.c.labelled_at)
    return clauses + _range_conditions(wanted) + _flag_conditions(wanted)


def storable(value: Any) -> bool:
    """Whether a column can hold the value; PostgreSQL refuses to compare others."""
    if not isinstance(value, str):
        return True
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def audit_condition(audit: str) -> Condition:
    """The row is in the sample of the audit; nothing is, if that is no id."""
    number = int(audit) if str(audit).isdecimal() and len(str(audit)) < 19 else 0
    sample = sa.select(audit_pictures.c.catalogue_id).where(audit_pictures.c.audit_id == number)
    return catalogue.c.id.in_(sample)


def _status_conditions(status: str) -> list[Any]:
    if status not in STATUS_LITERALS:
        return [sa.false()]
    if status in FAILED_STATUSES:
        return [catalogue.c.status == STATUS_VALUES[status], FAILED_ROWS]
    return [catalogue.c.status == STATUS_LITERALS[status]]


def _pattern_condition(connection: Connection, name: str, pattern: str) -> Condition:
    column = catalogue.c[name]
    if "*" in pattern:
        return _like(connection.dialect.name, column, pattern)
    if name == "path":  # paths have no index; their keys have one per crawl
        return sa.and_(
            catalogue.c.crawl.in_(sa.select(crawls.c.name)),
            catalogue.c.path_key == path_key(pattern),
        )
    return column == pattern


def _like(dialect: str, column: sa.Column[Any], pattern: str) -> Condition:
    """`column` matches `pattern`, in which only * is special; case-sensitive.

    SQLite uses GLOB, because its LIKE ignores case.
    """
    if dialect == "sqlite":
        literal = "".join(f"[{c}]" if c in "?[" else c for c in pattern)
        return column.op("GLOB", is_comparison=True)(literal)
    escaped = "".join(f"\\{c}" if c in "%_\\" else c for c in pattern).replace("*", "%")
    return column.like(escaped, escape="\\")


def _range_conditions(wanted: Filter) -> list[Condition]:
    clauses: list[Condition] = []
    measured: dict[str, sa.ColumnElement[Any]] = {name: catalogue.c[name] for name in MEASURES}
    measured["best_leaf_confidence"] = BEST_LEAF_CONFIDENCE
    for name, measure in measured.items():
        low, high = getattr(wanted, f"min_{name}"), getattr(wanted, f"max_{name}")
        if low is not None:
            clauses.append(measure >= low)
        if high is not None:
            clauses.append(measure <= high)
    return clauses


def time_conditions(wanted: Filter, labelled_at: sa.ColumnElement[Any]) -> list[Condition]:
    """The conditions on the time of the label, which may be written in another way."""
    clauses: list[Condition] = []
    if wanted.labelled_after is not None:
        clauses.append(labelled_at >= wanted.labelled_after)
    if wanted.labelled_before is not None:
        clauses.append(labelled_at < wanted.labelled_before)
    return clauses


def _flag_conditions(wanted: Filter) -> list[Condition]:
    clauses: list[Condition] = []
    corrected = catalogue.c.human_label.isnot(None)
    if wanted.needs_review is True:
        clauses += [catalogue.c.needs_review, sa.not_(corrected)]
    if wanted.needs_review is False:
        clauses += [
            catalogue.c.status == "labelled",
            sa.or_(sa.not_(catalogue.c.needs_review), corrected),
        ]
    if wanted.corrected is not None:
        clauses.append(corrected if wanted.corrected else sa.not_(corrected))
    if wanted.duplicates is not None:
        other = catalogue.alias("other")
        duplicate = (
            sa.select(other.c.id)
            .where(other.c.content_hash == catalogue.c.content_hash)
            .where(other.c.id != catalogue.c.id)
            .exists()
        )
        clauses.append(duplicate if wanted.duplicates else sa.not_(duplicate))
    return clauses
