"""Conversion between records and column values, with checks."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy.engine import RowMapping

from db.errors import InvalidRecord
from db.records import FileState, LabelFields, Outcome, PendingRow, Row
from db.tables import CONFIDENCES, LABEL_COLUMNS, path_key

# sums of float32 probabilities exceed 1 by rounding; a larger excess is a fault of the model
ROUNDING = 1e-4
MAX_DETAIL = 400  # characters
FIELD_NAMES = tuple(LabelFields.__dataclass_fields__)
ROW_NAMES = tuple(Row.__dataclass_fields__)
_field_values = operator.attrgetter(*FIELD_NAMES)
_TEXT_FIELDS = tuple(name for name in FIELD_NAMES if name not in (*CONFIDENCES, "needs_review"))

# column values that several writes share
NO_LABEL: dict[str, Any] = {**dict.fromkeys(LABEL_COLUMNS), "needs_review": False}
NO_LEASE: dict[str, Any] = {"claimed_by": None, "claimed_until": None, "claimed_alone": False}
NO_PUT_OFF: dict[str, Any] = {"put_offs": 0, "put_off_since": None, "not_before": None}
PENDING_AGAIN: dict[str, Any] = {
    **NO_LABEL,
    **NO_LEASE,
    **NO_PUT_OFF,
    "detail": None,
    "status": "pending",
    "reason": None,
    "attempts": 0,
    "deaths_alone": 0,
}


def checked_text(value: str | None, name: str) -> str | None:
    """`value`, if both databases can store it. `name` is what an error message calls it.

    Raises:
        InvalidRecord: it contains NUL or surrogates.
    """
    if value is None:
        return None
    if "\0" in value:
        raise InvalidRecord(f"{name}: expected text without NUL, received {value!r}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRecord(
            f"{name}: expected text in UTF-8, received {value!r}; write such a path as a "
            "file:// URL with %XX escapes"
        ) from error
    return value


def readable(detail: str | None) -> str | None:
    """The words of an error as both databases can store them, cut to a line or two."""
    if detail is None:
        return None
    text = detail.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 1] + "…"


def checked_confidence(value: float | None, name: str) -> float | None:
    """`value` as a Python float, clipped to [0, 1].

    Raises:
        InvalidRecord: NaN, or outside [0, 1] by more than `ROUNDING`.
    """
    if value is None:
        return None
    number = float(value)
    if 0.0 <= number <= 1.0:
        return number
    if math.isnan(number) or not -ROUNDING <= number <= 1 + ROUNDING:
        raise InvalidRecord(f"{name}: expected a confidence from 0 to 1, received {value!r}")
    return min(1.0, max(0.0, number))


def pending_values(
    crawl: str, row: PendingRow | FileState, model_version: str | None, now: datetime
) -> dict[str, Any]:
    """The values of a new pending row."""
    return {
        "crawl": crawl,
        "path": checked_text(row.path, "path"),
        "path_key": path_key(row.path),
        "size": row.size,
        "mtime": row.mtime,
        "shop": checked_text(row.shop, f"{row.path}: shop"),
        "model_version": model_version,
        "status": "pending",
        "created_at": now,
        "updated_at": now,
    }


def outcome_values(
    crawl: str, outcome: Outcome, model_version: str, now: datetime
) -> dict[str, Any]:
    """The values of a row with the result `outcome` and without a lease.

    Raises:
        InvalidRecord: the status is neither 'labelled' with fields nor 'rejected' with a reason.
    """
    labelled = outcome.status == "labelled" and outcome.fields is not None
    rejected = outcome.status == "rejected" and outcome.reason is not None
    if not labelled and not rejected:
        raise InvalidRecord(
            f"{outcome.path}: expected status 'labelled' with fields, or 'rejected' with a "
            f"reason, received {outcome.status!r} with reason {outcome.reason!r}"
        )
    values = {
        "crawl": crawl,
        "path": checked_text(outcome.path, "path"),
        "path_key": path_key(outcome.path),
        "size": outcome.size,
        "mtime": outcome.mtime,
        "content_hash": outcome.content_hash,
        **NO_LABEL,
        "model_version": model_version,
        "status": outcome.status,
        "reason": outcome.reason if rejected else None,
        "detail": readable(outcome.detail) if rejected else None,
        **NO_LEASE,
        **NO_PUT_OFF,
        "created_at": now,
        "updated_at": now,
    }
    if labelled and outcome.fields is not None:
        values |= _label_values(outcome.fields, outcome.path)
        values["labelled_at"] = now
    return values


def _label_values(fields: LabelFields, path: str) -> dict[str, Any]:
    """The label columns of a picture, without model version and time."""
    values: dict[str, Any] = dict(zip(FIELD_NAMES, _field_values(fields), strict=True))
    for name in CONFIDENCES:
        if values[name] is not None:
            values[name] = checked_confidence(values[name], f"{path}: {name}")
    for name in _TEXT_FIELDS:
        if values[name] is not None:
            values[name] = str(values[name])
    values["needs_review"] = bool(values["needs_review"])
    return values


def unique_by_path(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One outcome per path: the last one given."""
    return list({outcome.path: outcome for outcome in outcomes}.values())


def label_fields(values: RowMapping) -> LabelFields:
    """The label fields from a row's columns."""
    return LabelFields(**{name: values[name] for name in FIELD_NAMES})
