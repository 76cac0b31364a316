"""Bundles side by side: at home, and in shops that none of them was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cascade.bundle import folder_of
from cascade.classifier import Cascade
from cascade.data.dataset import DRAWINGS, Item, decode_items
from cascade.errors import BundleError
from cascade.evaluation.metrics import Rate
from cascade.evaluation.predictions import LabelledPredictions, all_logits
from tools import shops

HOME = "home, validation"


def judged(
    names: Sequence[str], items: Sequence[Item], batch: int = 4096
) -> dict[str, dict[str, dict[int, dict[str, Rate]]]]:
    """Headline rates by bundle and shop, under the seed 0, for ``shops.shop_table``.

    A shop counts if no bundle was trained on any of its sources; then all its pictures do. Home are
    the validation pictures of the sources that every bundle was trained on, in the last place.

    Args:
        names: Bundles, as ``--model`` takes them.
        items: The pictures of a manifest.
        batch: Pictures that are decoded at a time.

    Raises:
        BundleError: a bundle does not say what it was trained on, or every shop is known to one.
    """
    cascades = {name: Cascade.load(folder_of(name)) for name in names}
    trained = {name: _sources(name, cascade) for name, cascade in cascades.items()}
    seen = frozenset[str]().union(*trained.values())
    everywhere = frozenset.intersection(*trained.values()) - {DRAWINGS}
    parts = {
        shop: [item for item in items if item.source in sources]
        for shop, sources in shops.sources_by_shop(items).items()
        if not seen & set(sources)
    }
    if not parts:
        raise BundleError(
            f"{', '.join(names)}: expected a shop that none of them was trained on; leave one out"
        )
    home = [item for item in items if item.split == "validation" and item.source in everywhere]
    found: dict[str, dict[str, dict[int, dict[str, Rate]]]] = {}
    for name, cascade in cascades.items():
        for shop, chosen in {**parts, HOME: home}.items():
            rates = shops.headline_rates(_rates(cascade, chosen, batch))
            found.setdefault(name, {})[shop] = {0: rates}
    return found


def tables(found: Mapping[str, Mapping[str, Mapping[int, Mapping[str, Rate]]]]) -> list[list[str]]:
    """Rows under ``("shop", "bundle", *HEADLINE)``: each shop, the mean over shops, home."""
    away = {
        name: shops.shop_table({shop: r for shop, r in each.items() if shop != HOME})
        for name, each in found.items()
    }
    home = {name: shops.shop_table({HOME: each[HOME]})[0] for name, each in found.items()}
    count = len(next(iter(away.values())))
    rows = [[away[n][row][0], n, *away[n][row][1:]] for row in range(count) for n in found]
    return [*rows, *([HOME, name, *home[name][1:]] for name in found)]


def _sources(name: str, cascade: Cascade) -> frozenset[str]:
    sources = cascade.bundle.manifest.get("training", {}).get("sources")
    if not sources:
        raise BundleError(f"{name}: the manifest does not say which sources it was trained on")
    return frozenset(sources)


def _rates(cascade: Cascade, items: Sequence[Item], batch: int) -> dict[str, Rate]:
    kept: list[Item] = []
    logits = []
    for start in range(0, len(items), batch):
        pictures = decode_items(items[start : start + batch], cascade.preprocessing)
        kept += pictures.items
        logits.append(all_logits(cascade, pictures.pixels))
    predictions = LabelledPredictions(cascade.routing, np.concatenate(logits), tuple(kept))
    return {name: measure.rate for name, measure in predictions.measures().items()}
