"""Label patterns: which labels of the taxonomy a user's pattern matches.

`shoes/female/sandals` and the original's `shoes-Female-sandals` are equal. `*` matches any
characters: `shoes/*` everything below shoes, `*/sandals` sandals of either gender. A pattern is
resolved to a set of names in the small `labels` table, so the large table is only searched for
equal labels, which its index answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from db.records import LabelEntry


def matching_labels(
    entries: Iterable[LabelEntry],
    *,
    label: str | None = None,
    category: str | None = None,
    gender: str | None = None,
    type: str | None = None,
    levels: Sequence[tuple[int, str]] = (),
) -> frozenset[str]:
    """The labels that match every given pattern, ignoring case.

    `levels` holds pairs of depth and pattern: (2, "winter") matches `kids/winter/boots`.
    """
    parts = {"category": category, "gender": gender, "type": type}
    return frozenset(
        entry.label
        for entry in entries
        if (label is None or label_matches(label, entry.label))
        and all(
            pattern is None or _matches(pattern, getattr(entry, name))
            for name, pattern in parts.items()
        )
        and all(_matches(pattern, level_name(entry.label, depth)) for depth, pattern in levels)
    )


def level_name(label: str, depth: int) -> str | None:
    """The name of a label at `depth`, counted from 1; None below the level where it stops."""
    names = label.split("/")
    return names[depth - 1] if 1 <= depth <= len(names) else None


def label_matches(pattern: str, label: str) -> bool:
    """Whether `pattern` matches `label`, written with slashes or with hyphens.

    Hyphens separate levels only if the pattern has no slash; hyphens within a level are kept.
    """
    if _matches(pattern, label):
        return True
    return "/" not in pattern and _matches(pattern, label.replace("/", "-"))


def _matches(pattern: str, text: str | None) -> bool:
    """Whether the pieces between the stars follow one another in the text.

    Each piece is taken at its first place after the one before. If any other choice fits, that one
    does too, so nothing is tried twice: a regular expression would try every combination.
    """
    if text is None:
        return False
    text = text.casefold()
    first, *rest = pattern.casefold().split("*")
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first):
        return False
    place = len(first)
    for piece in filter(None, middle):
        if (found := text.find(piece, place)) < 0:
            return False
        place = found + len(piece)
    return len(text) - len(last) >= place and text.endswith(last)
