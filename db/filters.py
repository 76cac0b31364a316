"""A `Filter` says which rows; `conditions` turns it into SQL whose every value is a parameter."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.label_patterns import matching
from db.records import LabelEntry
from db.tables import (
    CONFIDENCES,
    FAILED,
    STATUS_LITERALS,
    catalogue,
    crawls,
    effective_label,
    labels,
    path_key,
)

Condition = sa.ColumnElement[bool]


@dataclass(frozen=True)
class Filter:
    """Which rows. What is None asks for nothing; what is given must all hold.

    A label counts as what a person said of the row, or else the model. In `label`, `category`,
    `gender`, `type`, `path`, `url` and `product_id` a ``*`` stands for any run of characters and
    nothing else has a meaning; labels are compared without regard to upper and lower case.
    Times are timezone-aware; "after" includes the moment itself, "before" does not.
    """

    label: str | None = None
    category: str | None = None
    gender: str | None = None
    type: str | None = None
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
    min_margin: float | None = None
    max_margin: float | None = None
    labelled_after: datetime | None = None
    labelled_before: datetime | None = None
    needs_review: bool | None = None  # False: labelled, and sure or settled by a person
    corrected: bool | None = None
    duplicates: bool | None = None  # the same bytes stand in more than one row


EQUAL = ("reason", "crawl", "shop", "content_hash", "model_version")
PATTERNS = ("url", "path", "product_id")
FAILED_STATUSES = ("rejected", "quarantined", "cancelled")
# the words of the index of what failed. SQLite puts a value that a column is said to equal into
# them, which makes them others; not so one that has a type of its own
FAILED_ROWS = sa.text(f"catalogue.{FAILED}")
STATUS_VALUES = {name: sa.cast(value, sa.Text) for name, value in STATUS_LITERALS.items()}


def names_labels(wanted: Filter) -> bool:
    """Whether the filter asks for labels."""
    return any(x is not None for x in (wanted.label, wanted.category, wanted.gender, wanted.type))


def label_entries(connection: Connection) -> list[LabelEntry]:
    """The labels of all registered taxonomies."""
    names = ("label", "category", "gender", "type", "is_leaf")
    query = sa.select(*(labels.c[name] for name in names)).order_by(labels.c.label)
    return [LabelEntry(*values) for values in connection.execute(query)]


def wanted_labels(connection: Connection, wanted: Filter) -> list[str] | None:
    """The labels that the filter means, sorted; None when it asks for none."""
    if not names_labels(wanted):
        return None
    return sorted(
        matching(
            label_entries(connection),
            label=wanted.label,
            category=wanted.category,
            gender=wanted.gender,
            type=wanted.type,
        )
    )


def conditions(
    connection: Connection, wanted: Filter, *, without: Collection[str] = ()
) -> list[Condition]:
    """The WHERE of a filter, parts that all hold; those on `without` ('label', …) left out."""
    if not all(storable(getattr(wanted, field.name)) for field in fields(wanted)):
        return [sa.false()]
    made: list[Condition] = []
    meant = None if "label" in without else wanted_labels(connection, wanted)
    if meant is not None:
        made.append(effective_label.in_(meant))
    if wanted.status is not None and "status" not in without:
        made += _status(wanted.status)
    for name in EQUAL:
        value = getattr(wanted, name)
        if value is not None and name not in without:
            made.append(catalogue.c[name] == value)
    for name in PATTERNS:
        value = getattr(wanted, name)
        if value is not None:
            made.append(_pattern(connection, name, value))
    return made + _ranges(wanted) + _kinds(wanted)


def storable(value: Any) -> bool:
    """Whether a value can stand in a row at all; PostgreSQL refuses to compare what cannot."""
    if not isinstance(value, str):
        return True
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _status(status: str) -> list[Any]:
    if status not in STATUS_LITERALS:
        return [sa.false()]
    if status in FAILED_STATUSES:
        return [catalogue.c.status == STATUS_VALUES[status], FAILED_ROWS]
    return [catalogue.c.status == STATUS_LITERALS[status]]


def _pattern(connection: Connection, name: str, pattern: str) -> Condition:
    column = catalogue.c[name]
    if "*" in pattern:
        return like(connection.dialect.name, column, pattern)
    if name == "path":  # by the key of each crawl: a path has no index of its own
        return sa.and_(
            catalogue.c.crawl.in_(sa.select(crawls.c.name)),
            catalogue.c.path_key == path_key(pattern),
        )
    return column == pattern


def like(dialect: str, column: sa.Column[Any], pattern: str) -> Condition:
    """`column` fits `pattern`, in which only * means anything; upper and lower case differ.

    SQLite's LIKE does not tell A from a, so GLOB it is there.
    """
    if dialect == "sqlite":
        literal = "".join(f"[{c}]" if c in "?[" else c for c in pattern)
        return column.op("GLOB", is_comparison=True)(literal)
    escaped = "".join(f"\\{c}" if c in "%_\\" else c for c in pattern).replace("*", "%")
    return column.like(escaped, escape="\\")


def _ranges(wanted: Filter) -> list[Condition]:
    made: list[Condition] = []
    for name in CONFIDENCES:
        low, high = getattr(wanted, f"min_{name}"), getattr(wanted, f"max_{name}")
        if low is not None:
            made.append(catalogue.c[name] >= low)
        if high is not None:
            made.append(catalogue.c[name] <= high)
    if wanted.labelled_after is not None:
        made.append(catalogue.c.labelled_at >= wanted.labelled_after)
    if wanted.labelled_before is not None:
        made.append(catalogue.c.labelled_at < wanted.labelled_before)
    return made


def _kinds(wanted: Filter) -> list[Condition]:
    made: list[Condition] = []
    by_hand = catalogue.c.human_label.isnot(None)
    if wanted.needs_review is True:
        made += [catalogue.c.needs_review, sa.not_(by_hand)]
    if wanted.needs_review is False:
        made += [
            catalogue.c.status == "labelled",
            sa.or_(sa.not_(catalogue.c.needs_review), by_hand),
        ]
    if wanted.corrected is not None:
        made.append(by_hand if wanted.corrected else sa.not_(by_hand))
    if wanted.duplicates is not None:
        other = catalogue.alias("other")
        twin = (
            sa.select(other.c.id)
            .where(other.c.content_hash == catalogue.c.content_hash)
            .where(other.c.id != catalogue.c.id)
            .exists()
        )
        made.append(twin if wanted.duplicates else sa.not_(twin))
    return made
