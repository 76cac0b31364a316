"""What a user writes for a label, as the set of labels that it means.

`shoes/female/sandals` and the original's `shoes-Female-sandals` are the same. `*` stands for any
run of characters, so `shoes/*` is all below shoes, and `*/sandals` sandals of either gender.
Every such filter becomes a set of label names looked up in the small `labels` table: the big
table is then only ever asked for equality, which its index answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from db.records import LabelEntry


def matching(
    entries: Iterable[LabelEntry],
    *,
    label: str | None = None,
    category: str | None = None,
    gender: str | None = None,
    type: str | None = None,
) -> frozenset[str]:
    """The labels that fit every part that is given; upper and lower case are the same."""
    parts = {"category": category, "gender": gender, "type": type}
    return frozenset(
        entry.label
        for entry in entries
        if (label is None or label_fits(label, entry.label))
        and all(
            wanted is None or _fits(wanted, getattr(entry, name)) for name, wanted in parts.items()
        )
    )


def label_fits(pattern: str, label: str) -> bool:
    """Whether `label` is what `pattern` means, in either way of writing it.

    Hyphens part the levels only where no slash does; a level's own hyphens stay.
    """
    if _fits(pattern, label):
        return True
    return "/" not in pattern and _fits(pattern, label.replace("/", "-"))


def _fits(pattern: str, text: str | None) -> bool:
    if text is None:
        return False
    pieces = (re.escape(piece) for piece in pattern.casefold().split("*"))
    return re.fullmatch(".*".join(pieces), text.casefold(), re.DOTALL) is not None
