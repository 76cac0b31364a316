"""Labels as people write them, checked against the registered taxonomies."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from sqlalchemy.engine import Connection

from db.errors import InvalidRecord
from db.filters import label_entries
from db.label_patterns import label_matches

SUGGESTED = 3


def label_names(connection: Connection) -> list[str]:
    """The labels of all registered taxonomies, sorted."""
    return [entry.label for entry in label_entries(connection)]


def resolved(names: Sequence[str], written: Iterable[str | None]) -> dict[str | None, str | None]:
    """The label meant by each spelling; spellings of no known label are left out."""
    found: dict[str | None, str | None] = {None: None}
    for text in {text for text in written if text is not None and "*" not in text}:
        matches = [name for name in names if label_matches(text.strip(), name)]
        if len(matches) == 1:
            found[text] = matches[0]
    return found


def resolved_or_refused(
    connection: Connection, written: Iterable[str | None]
) -> dict[str | None, str | None]:
    """The label meant by each spelling.

    Raises:
        InvalidRecord: a label of no registered taxonomy; nothing was recorded.
    """
    names, asked = label_names(connection), set(written)
    found = resolved(names, asked)
    if unknown := sorted(str(text) for text in asked - set(found)):
        raise InvalidRecord(f"nothing was recorded: {unknown_label(unknown[0], names)}")
    return found


def unknown_label(written: str | None, names: Sequence[str]) -> str:
    """What is wrong with a label of no taxonomy, with those that are written nearly like it."""
    return f"expected a label of the taxonomy, received {written!r}{_did_you_mean(written, names)}"


def _did_you_mean(written: str | None, names: Sequence[str]) -> str:
    """The labels that are written nearly like the unknown one, or that end in it."""
    folded = (written or "").strip().casefold()[:200]
    last = {name.rpartition("/")[2].casefold(): name for name in names}
    spelt = {name.casefold(): name for name in names}
    near = [spelt[text] for text in difflib.get_close_matches(folded, spelt, SUGGESTED)]
    near += [last[text] for text in difflib.get_close_matches(folded, last, SUGGESTED)]
    found = list(dict.fromkeys(near))[:SUGGESTED]
    return f"; did you mean {' or '.join(found)}?" if found else ""
