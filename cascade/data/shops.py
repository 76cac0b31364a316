"""Pictures of shops that a bundle never saw, chosen by their sources."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from cascade.data.dataset import MAX_SOURCES_SHOWN, Item
from cascade.errors import DatasetError

MIN_SHOPS = 2


def items_across_shops(
    items: Sequence[Item], shops: Sequence[str], split: str | None
) -> list[Item]:
    """The pictures that matter: all of the unseen shops, and the others of one split.

    Of unseen shops, no split was trained on. Errors are those of ``split_by_shop``.
    """
    chosen = [
        item
        for item in items
        if split in (None, item.split) or any(_matches(item.source, shop) for shop in shops)
    ]
    split_by_shop(chosen, shops)
    return chosen


def split_by_shop(
    items: Sequence[Item], shops: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Which pictures are of the shops of training, and which of each unseen shop.

    Args:
        items: The labelled pictures.
        shops: One text for each unseen shop: shell patterns of its sources, separated by commas.

    Returns:
        ``(N,)`` bool for home, and for each shop.

    Raises:
        DatasetError: There are fewer than two shops or no picture at home, a shop has no picture,
            or a source belongs to two shops.
    """
    if len(set(shops)) < MIN_SHOPS:
        raise DatasetError(
            f"expected at least {MIN_SHOPS} shops, received {len(set(shops))}; name each shop that "
            "the bundle never saw with --shop, by the patterns of its sources"
        )
    found = {
        shop: np.array([_matches(item.source, shop) for item in items], bool) for shop in shops
    }
    for shop, rows in found.items():
        if not rows.any():
            known = (
                ", ".join(sorted({item.source for item in items} - {""})[:MAX_SOURCES_SHOWN])
                or "none"
            )
            raise DatasetError(
                f"shop {shop!r}: no picture has a source that matches; the sources are: {known}"
            )
    owners = np.sum(list(found.values()), axis=0)
    if owners.max() > 1:
        source = items[int(owners.argmax())].source
        raise DatasetError(
            f"source {source!r}: expected one shop, received {owners.max()} that match; make their "
            "patterns exclude each other"
        )
    home: np.ndarray = owners == 0
    if not home.any():
        raise DatasetError(
            "no pictures of other sources; add some of the shops that the bundle was trained on, "
            "but none that it was trained on itself (--split validation)"
        )
    return home, found


def _matches(source: str, shop: str) -> bool:
    return any(fnmatchcase(source, pattern.strip()) for pattern in shop.split(","))
