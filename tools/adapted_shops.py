"""Adapt a bundle to shops that it never saw: what corrections gain there and cost at home.

Used by ``python -m tools.hold_out_sources MANIFEST --adapt 0,25,50 --only smartstyle``. The
corrections are whole products drawn at random; the others judge. Home is the test split of the
sources that the bundle's manifest names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cascade.adaptation.adapt import Trial, corrected_features, product_groups, try_out
from cascade.adaptation.features import features_of, head_weights, read_adaptable
from cascade.adaptation.refit import logits_of
from cascade.adaptation.replay import FeatureSet, read_replay
from cascade.bundle import Bundle
from cascade.data.dataset import Item, decode_items
from cascade.errors import DatasetError
from cascade.evaluation.predictions import LabelledPredictions
from cascade.routing import Routing

DRAWS = 5
MEASURES = ("leaf, in scope", "shoes gender", "shoes type", "labels right, at any depth")
SURE = ("labels without review", "labels without review right")
HEADER = (
    *("shop", "corrections", "of", "pictures that judge", *MEASURES, *SURE),
    *("leaf at home", "strengths"),
)


def adapted_rows(
    bundle: Bundle, items: Sequence[Item], shops: Sequence[str], counts: Sequence[int]
) -> Iterator[list[str]]:
    """Table rows under ``HEADER``: means over ``DRAWS`` draws of each count of corrections.

    A shop is all sources whose name begins with its name. Raises ``DatasetError`` for a shop
    without pictures, or one that the bundle was trained on.
    """
    seen = bundle.manifest["training"]["sources"]
    at_home = [item for item in items if item.source in seen and item.split == "test"]
    pictures = decode_items(at_home, bundle.preprocessing)
    home = FeatureSet(features_of(read_adaptable(bundle), pictures.pixels), pictures.items)
    replay = read_replay(bundle)
    old = head_weights(read_adaptable(bundle))
    for shop in shops:
        own = [item for item in items if item.source.startswith(shop)]
        if not own or any(item.source in seen for item in own):
            raise DatasetError(f"{shop!r}: expected sources that the bundle was not trained on")
        shown, groups = _features(bundle, own)
        for count in counts:
            found, strengths = [], []
            for seed in range(DRAWS):
                chosen = drawn_products(groups, count, seed)
                rest, heads, routing = shown.subset(~chosen), old, bundle.routing
                trial = _trial(bundle, shown, groups, chosen, replay)
                if trial is not None and trial.helps:
                    heads, routing = trial.heads, trial.routing
                strengths.append(trial.strength if trial is not None and trial.helps else 0.0)
                before = _shares(bundle.routing, old, rest), _shares(bundle.routing, old, home)
                after = _shares(routing, heads, rest), _shares(routing, heads, home)
                found.append((before[0], after[0], after[1] - before[1]))
            yield _row(shop, count, len(shown), np.array(found), strengths)


def drawn_products(groups: Sequence[str], count: int, seed: int) -> np.ndarray:
    """``(N,)`` bool: whole products at random, until there are ``count`` pictures."""
    names = np.array(groups)
    chosen = np.zeros(len(names), bool)
    for name in np.random.default_rng(seed).permutation(np.unique(names)):
        if chosen.sum() >= count:
            break
        chosen |= names == name
    return chosen


def _features(bundle: Bundle, items: Sequence[Item]) -> tuple[FeatureSet, list[str]]:
    pictures = decode_items(items, bundle.preprocessing)
    return corrected_features(bundle, pictures), product_groups(pictures)


def _trial(
    bundle: Bundle,
    pictures: FeatureSet,
    groups: Sequence[str],
    chosen: np.ndarray,
    replay: FeatureSet,
) -> Trial | None:
    if not chosen.any():
        return None
    names = [group for group, own in zip(groups, chosen, strict=True) if own]
    return try_out(bundle, pictures.subset(chosen), names, replay=replay)


def _shares(routing: Routing, heads: np.ndarray, pictures: FeatureSet) -> np.ndarray:
    """Each of ``MEASURES`` and ``SURE`` in per cent; NaN where no picture counts."""
    logits = logits_of(heads, pictures.values)
    measures = LabelledPredictions(routing, logits, pictures.items).measures()
    values = [measures[name].rate.value for name in (*MEASURES, *SURE)]
    return np.array([np.nan if value is None else 100 * value for value in values])


def _row(
    shop: str, count: int, pictures: int, found: np.ndarray, strengths: list[float]
) -> list[str]:
    """One row from ``(draws, 3, measures)``: before, after, change at home."""
    before, after, change = np.nanmean(found, axis=0)
    cells = [f"{b:.1f} → {a:.1f} %" for b, a in zip(before, after, strict=True)]
    used = " ".join(f"{strength:g}" for strength in strengths)
    judged = str(pictures - count)
    return [shop, str(count), str(pictures), judged, *cells, f"{change[0]:+.2f}", used]
