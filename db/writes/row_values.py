"""Between the records and the columns: outcomes to rows, rows to records, checked on the way."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy.engine import RowMapping

from db.errors import InvalidRecord
from db.records import LabelFields, Outcome, Row
from db.tables import CONFIDENCES, LABEL_COLUMNS, path_key

# sums of float32 probabilities pass 1 by rounding; more than this is a fault of the model
ROUNDING = 1e-4
FIELD_NAMES = tuple(LabelFields.__dataclass_fields__)
_FIELDS = operator.attrgetter(*FIELD_NAMES)
_TEXTS = tuple(name for name in FIELD_NAMES if name not in (*CONFIDENCES, "needs_review"))
ROW_NAMES = tuple(Row.__dataclass_fields__)
NO_LABEL: dict[str, Any] = {**dict.fromkeys(LABEL_COLUMNS), "needs_review": False}


def confidence(value: float | None, what: str) -> float | None:
    """A plain float in [0, 1]. Raises InvalidRecord for NaN and for what lies clearly outside."""
    if value is None:
        return None
    number = float(value)
    if 0.0 <= number <= 1.0:
        return number
    if math.isnan(number) or not -ROUNDING <= number <= 1 + ROUNDING:
        raise InvalidRecord(f"{what}: expected a confidence from 0 to 1, received {value!r}")
    return min(1.0, max(0.0, number))


def label_values(fields: LabelFields, path: str) -> dict[str, Any]:
    """The label columns of a picture, without model version and time."""
    values: dict[str, Any] = dict(zip(FIELD_NAMES, _FIELDS(fields), strict=True))
    for name in CONFIDENCES:
        if values[name] is not None:
            values[name] = confidence(values[name], f"{path}: {name}")
    for name in _TEXTS:
        if values[name] is not None:
            values[name] = str(values[name])
    values["needs_review"] = bool(values["needs_review"])
    return values


def outcome_values(
    crawl: str, outcome: Outcome, model_version: str, now: datetime
) -> dict[str, Any]:
    """A whole row for `outcome`, its lease cleared.

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
        "path": text(outcome.path, "path"),
        "path_key": path_key(outcome.path),
        "size": outcome.size,
        "mtime": outcome.mtime,
        "content_hash": outcome.content_hash,
        **NO_LABEL,
        "model_version": model_version,
        "status": outcome.status,
        "reason": outcome.reason if rejected else None,
        "claimed_by": None,
        "claimed_until": None,
        "claimed_alone": False,
        "created_at": now,
        "updated_at": now,
    }
    if labelled and outcome.fields is not None:
        values |= label_values(outcome.fields, outcome.path)
        values["labelled_at"] = now
    return values


def text(value: str | None, what: str) -> str | None:
    """`value` as text that both databases hold. Raises InvalidRecord for NUL and surrogates."""
    if value is None:
        return None
    if "\0" in value:
        raise InvalidRecord(f"{what}: expected text without NUL, received {value!r}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRecord(
            f"{what}: expected text in UTF-8, received {value!r}; write such a path as a "
            "file:// URL with %XX escapes"
        ) from error
    return value


def unique_by_path(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes with each path once; the last word on a path counts."""
    return list({outcome.path: outcome for outcome in outcomes}.values())


def fields_of(values: RowMapping) -> LabelFields:
    """The label fields out of a row's columns."""
    return LabelFields(**{name: values[name] for name in FIELD_NAMES})
