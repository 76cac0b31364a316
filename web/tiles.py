"""A row as the grid and the picture's page show it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from db.records import Row

_LEVELS = ("category", "gender", "type")


@dataclass(frozen=True)
class Level:
    """The confidence of one level of the model's label."""

    name: str
    confidence: float


@dataclass(frozen=True)
class Tile:
    """A row with what is derived from it."""

    row: Row
    thumbnail: str
    large: str
    address: str
    levels: list[Level]
    leaves: list[tuple[str, float | None]]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.row.path.rstrip("/").rpartition("/")[2] or self.row.path

    @property
    def link(self) -> str | None:
        """The address of the picture on the web, if it is one that a browser may open."""
        return self.row.url if self.row.url is not None and is_web_address(self.row.url) else None


def tile(row: Row) -> Tile:
    """The tile of a row."""
    version = f"?v={row.content_hash}" if row.content_hash else ""
    levels = [
        Level(name, confidence)
        for name in _LEVELS
        if (confidence := getattr(row, f"{name}_confidence")) is not None
    ]
    base = f"/pictures/{row.id}"
    return Tile(
        row, f"{base}/small{version}", f"{base}/large{version}", base, levels, row.best_leaves()
    )


def leaf_probabilities(row: Row) -> list[tuple[str, float]]:
    """(leaf, probability) of all leaves, best first; empty if the row has none that can be read."""
    try:
        found = json.loads(row.leaf_probabilities or "{}")
        pairs = [(str(name), float(share)) for name, share in found.items()]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []
    return sorted(pairs, key=lambda pair: -pair[1])


def is_web_address(url: str) -> bool:
    """Whether a row's address is http or https; others (``javascript:``) are shown as text only."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and url.isprintable()
