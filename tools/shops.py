"""Shops of the photographs, and the one table of how a cascade does in unseen ones.

The sources of one shop are held out together: the brands of a shop share its studio and framing, so
with one of them in training the others are not unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from cascade.data.dataset import Item
from cascade.evaluation.metrics import Rate
from rendering.text import markdown_table

# Shop -> shell patterns of its sources. Sources of no shop are always trained on (home).
SHOPS: Mapping[str, tuple[str, ...]] = {
    "Myntra": ("myntra",),
    "Zappos": ("zappos_*",),
    "smartstyle": ("smartstyle_*",),
    "ooad": ("ooad",),
    "magento2, maho": ("magento2", "maho"),
    "gurudev, fashion4u": ("gurudev", "fashion4u"),
    "opticians": (
        *("optic2000", "owndays", "optical_kirill", "eyewear_*", "eyelix_*"),
        *("sunglasses_*", "salinaka"),
    ),
    "Liberty, small": (
        *("liberty_footwear", "footwear_*", "cinderella_*", "multilabel_*", "estore_*"),
        "ootdiffusion_examples",
    ),
}
HEADLINE = (
    "primary",
    "type",
    "gender",
    "leaf",
    "sure right",
    "sure",
    "found",
    "lost",
)
_MEASURES = {
    "primary": "primary",
    "leaf": "leaf, in scope",
    "sure right": "labels without review right",
    "sure": "labels without review",
    "found": "out_of_scope found",
    "lost": "in-scope lost",
}
MIN_COUNTED = 30  # pictures; a shop with fewer does not count in a measure
MEAN = "mean over shops"


def sources_by_shop(
    items: Sequence[Item], shops: Mapping[str, Sequence[str]] = SHOPS
) -> dict[str, tuple[str, ...]]:
    """The sources of each shop that has pictures, sorted.

    Raises ``ValueError`` for a source that belongs to two shops: it would be on both sides.
    """
    found: dict[str, list[str]] = {shop: [] for shop in shops}
    for source in sorted({item.source for item in items}):
        owners = [
            shop
            for shop, patterns in shops.items()
            if any(fnmatchcase(source, pattern) for pattern in patterns)
        ]
        if len(owners) > 1:
            raise ValueError(
                f"source {source!r}: expected one shop, received {' and '.join(owners)}; "
                "make their patterns exclude each other"
            )
        for shop in owners:
            found[shop].append(source)
    return {shop: tuple(sources) for shop, sources in found.items() if sources}


def headline_rates(rates: Mapping[str, Rate]) -> dict[str, Rate]:
    """The rates of ``HEADLINE``; gender and type over all categories together."""
    found = {name: rates[measure] for name, measure in _MEASURES.items() if measure in rates}
    for level in ("gender", "type"):
        each = [rate for name, rate in rates.items() if name.endswith(f" {level}")]
        found[level] = Rate(sum(r.right for r in each), sum(r.count for r in each))
    return found


def shop_table(results: Mapping[str, Mapping[int, Mapping[str, Rate]]]) -> list[list[str]]:
    """Rows under ``("shop", *HEADLINE)``: each shop, then the mean over shops, in per cent.

    A cell is the mean over the seeds, its spread (the standard deviation over the seeds) and, for a
    shop, the pictures that count.

    Args:
        results: Rates by shop, by seed and by name of ``HEADLINE``.
    """
    rows = [
        [shop, *(_shop_cell(seeds, name) for name in HEADLINE)] for shop, seeds in results.items()
    ]
    return [*rows, [MEAN, *(_mean_cell(results, name) for name in HEADLINE)]]


def markdown(results: Mapping[str, Mapping[int, Mapping[str, Rate]]]) -> str:
    """``shop_table`` as a Markdown table."""
    return markdown_table(("shop", *HEADLINE), shop_table(results))


def means_by_seed(
    results: Mapping[str, Mapping[int, Mapping[str, Rate]]], name: str
) -> dict[int, float]:
    """Per cent by seed: the mean of one measure over the shops with ``MIN_COUNTED`` pictures."""
    seeds = sorted({seed for each in results.values() for seed in each})
    found = {}
    for seed in seeds:
        shares = [
            100 * rate.right / rate.count
            for each in results.values()
            if seed in each and (rate := each[seed].get(name)) and rate.count >= MIN_COUNTED
        ]
        if shares:
            found[seed] = float(np.mean(shares))
    return found


def _shop_cell(seeds: Mapping[int, Mapping[str, Rate]], name: str) -> str:
    rates = [rate for each in seeds.values() if (rate := each.get(name)) and rate.count]
    if not rates:
        return "–"
    counts = sorted({rate.count for rate in rates})
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{_with_spread([100 * rate.right / rate.count for rate in rates])} ({span})"


def _mean_cell(results: Mapping[str, Mapping[int, Mapping[str, Rate]]], name: str) -> str:
    shares = list(means_by_seed(results, name).values())
    return _with_spread(shares) if shares else "–"


def _with_spread(shares: Sequence[float]) -> str:
    spread = f" ± {np.std(shares, ddof=1):.1f}" if len(shares) > 1 else ""
    return f"{np.mean(shares):.1f}{spread}"
