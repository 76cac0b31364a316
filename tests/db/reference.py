"""A reference implementation of the query language in Python, to compare the SQL with.

Written from the documentation, not from the code under test.
"""

from __future__ import annotations

from typing import Any

from db.queries import Filter

CONFIDENCES = (
    "confidence",
    "margin",
    "category_confidence",
    "gender_confidence",
    "type_confidence",
    "best_leaf_confidence",
)


def star_match(pattern: str, text: str) -> bool:
    """Whether `text` matches `pattern`, in which only * is special."""
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if not text.startswith(first) or not text.endswith(last):
        return False
    if len(text) < len(first) + len(last):
        return False
    rest = text[len(first) : len(text) - len(last)]
    for piece in middle:
        found = rest.find(piece)
        if found < 0:
            return False
        rest = rest[found + len(piece) :]
    return True


def label_match(pattern: str, label: str) -> bool:
    pattern, label = pattern.lower(), label.lower()
    ways = [label] if "/" in pattern else [label, label.replace("/", "-")]
    return any(star_match(pattern, way) for way in ways)


def fits(
    row: dict[str, Any], wanted: Filter, rows: list[dict[str, Any]], tree: dict[str, Any]
) -> bool:
    """Whether a row matches; `tree` gives each label its category, gender and type."""
    label = row["human_label"] or row["model_label"]
    if wanted.label is not None and not (label and label_match(wanted.label, label)):
        return False
    for name in ("category", "gender", "type"):
        asked = getattr(wanted, name)
        has = tree[label][name] if label else None
        if asked is not None and not (has and star_match(asked.lower(), has.lower())):
            return False
    for name in ("status", "reason", "crawl", "shop", "content_hash", "model_version"):
        if getattr(wanted, name) is not None and row[name] != getattr(wanted, name):
            return False
    for name in ("url", "path", "product_id"):
        asked = getattr(wanted, name)
        if asked is not None and not (row[name] is not None and star_match(asked, row[name])):
            return False
    leaf = row["best_leaf"]
    if wanted.best_leaf is not None and not (leaf and label_match(wanted.best_leaf, leaf)):
        return False
    levels = ("best_leaf", "type", "gender", "category")
    own = (row[f"{level}_confidence"] for level in levels)
    row = {**row, "best_leaf_confidence": next((p for p in own if p is not None), None)}
    for name in CONFIDENCES:
        low, high = getattr(wanted, f"min_{name}"), getattr(wanted, f"max_{name}")
        if low is not None and not (row[name] is not None and row[name] >= low):
            return False
        if high is not None and not (row[name] is not None and row[name] <= high):
            return False
    at = row["labelled_at"]
    if wanted.labelled_after is not None and not (at and at >= wanted.labelled_after):
        return False
    if wanted.labelled_before is not None and not (at and at < wanted.labelled_before):
        return False
    human = row["human_label"] is not None
    if wanted.corrected is not None and human != wanted.corrected:
        return False
    if wanted.needs_review is True and not (row["needs_review"] and not human):
        return False
    if wanted.needs_review is False and (
        row["status"] != "labelled" or (row["needs_review"] and not human)
    ):
        return False
    if wanted.duplicates is not None:
        same = [r for r in rows if r["content_hash"] and r["content_hash"] == row["content_hash"]]
        if (len(same) > 1) != wanted.duplicates:
            return False
    return True
