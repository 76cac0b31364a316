"""Makes a bundle for a shop from another bundle and the pictures that people corrected there.

Only the heads change, with temperatures and thresholds. How much better the new heads are is judged
by cross-validation over products, and what they cost at home by the validation features that the
bundle carries; neither was fitted to what judges it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.adaptation.crossvalidation import (
    STRENGTHS,
    Gain,
    OutOfFold,
    corrections_needed,
    cross_validate,
    losses,
)
from cascade.adaptation.features import features_of, head_weights, read_adaptable, set_head_weights
from cascade.adaptation.refit import Labelled, Refitter, logits_of
from cascade.adaptation.replay import TRAIN, VALIDATION, FeatureSet, read_replay
from cascade.backends import TENSORFLOW
from cascade.bundle import MANIFEST, Bundle, add_card_section, seal, write_calibration
from cascade.calibration import fit_temperatures, thresholds_of, tune_thresholds
from cascade.conversion import convert
from cascade.data.dataset import Item, Pictures, targets
from cascade.data.near_duplicates import merged_groups, near_duplicate_groups
from cascade.errors import BundleError, DatasetError
from cascade.evaluation.compare import PairedComparison, compare
from cascade.evaluation.predictions import LabelledPredictions
from cascade.networks.serialisation import write_network
from cascade.routing import Routing

MOST_LOST_AT_HOME = 0.005  # share of the pictures whose best leaf is known
PRECISION = 0.98


@dataclass(frozen=True)
class Trial:
    """What adapting would do, by cross-validation.

    Attributes:
        strength: The share of the way from the old heads to the refitted ones.
        heads: ``(F + 1, K)``, fitted to all corrections.
        routing: Calibrated for these heads.
        gain: How much less loss a corrected picture has that the heads were not fitted to.
        right: How many corrected pictures have the right leaf, before and after.
        shop: Measures of the corrected pictures, after and before.
        home: The same of the bundle's own validation pictures.
        corrections: How many corrections it rests on.
        groups: Of how many products.
        needed: About how many corrections would make the gain sure, None if that cannot be said.
    """

    strength: float
    heads: np.ndarray
    routing: Routing
    gain: Gain
    right: tuple[int, int]
    shop: list[PairedComparison]
    home: list[PairedComparison]
    corrections: int
    groups: int
    needed: int | None

    @property
    def helps(self) -> bool:
        """Whether the gain is sure and more corrected pictures have the right leaf."""
        return self.strength > 0 and self.gain.sure and self.right[1] > self.right[0]


def product_groups(pictures: Pictures) -> list[str]:
    """The group of each picture: one product, or near duplicates of one another."""
    near = near_duplicate_groups(pictures.pixels)
    return merged_groups(near, [item.group for item in pictures.items])


def try_out(
    bundle: Bundle,
    features: FeatureSet,
    groups: Sequence[str],
    precision: float = PRECISION,
    replay: FeatureSet | None = None,
) -> Trial:
    """Refit the heads to corrections, and judge them by cross-validation.

    The strength is that with the least loss on the corrections among those that lose no more than
    ``MOST_LOST_AT_HOME`` at home. Temperatures are the less confident ones of home and shop;
    thresholds are tuned on both together.

    Args:
        bundle: With one adaptable network.
        features: The corrected pictures.
        groups: The group of each; see ``product_groups``.
        precision: Share of right labels to aim at where they stop.
        replay: The bundle's replayed features, if they are read already.

    Raises:
        BundleError: The bundle cannot be adapted, or carries no features.
        DatasetError: The corrections are of too few products.
    """
    replay = replay or read_replay(bundle)
    decisions, taxonomy, routing = bundle.decisions, bundle.taxonomy, bundle.routing

    def labelled(pictures: FeatureSet) -> Labelled:
        return Labelled(pictures.values, targets(pictures.items, decisions, taxonomy))

    old = head_weights(read_adaptable(bundle))
    divisors = [routing.temperatures.get(decision.node, 1.0) for decision in decisions]
    calm = old / np.repeat(divisors, [len(decision.outcomes) for decision in decisions])
    refitter = Refitter(calm, labelled(replay.of_split(TRAIN)), decisions)
    corrections, home = labelled(features), replay.of_split(VALIDATION)
    found = cross_validate(refitter, corrections, groups)
    fitted = refitter.refit(corrections)
    at_home = {s: logits_of(calm + s * (fitted - calm), home.values) for s in (0.0, *STRENGTHS)}
    strength = _strength(found, corrections, at_home, home, replace(routing, temperatures={}))
    own = found.after.get(strength, found.before)
    joint = np.concatenate([at_home[strength], own])
    items = (*home.items, *features.items)
    after = _calibrated(routing, joint, items, len(home), precision)
    before = replace(routing, temperatures={})
    old_loss = losses(found.before, corrections.fits, decisions)
    gain, half = (
        Gain.of(old_loss, losses(logits, corrections.fits, decisions), groups)
        for logits in (own, found.half)
    )
    return Trial(
        strength,
        calm + strength * (fitted - calm),
        after,
        gain,
        (
            _leaves_right(before, found.before, features.items),
            _leaves_right(after, own, features.items),
        ),
        _measured(after, own, before, found.before, features.items),
        _measured(after, at_home[strength], before, at_home[0.0], home.items),
        len(features),
        len(set(groups)),
        corrections_needed(len(features), gain, half),
    )


def _strength(
    found: OutOfFold,
    corrections: Labelled,
    at_home: Mapping[float, np.ndarray],
    home: FeatureSet,
    routing: Routing,
) -> float:
    """The best of ``STRENGTHS`` that home allows; 0 if it allows none, or none has less loss."""
    right = {s: _leaves_right(routing, logits, home.items) for s, logits in at_home.items()}
    allowed = [
        s for s in STRENGTHS if right[0.0] - right[s] <= MOST_LOST_AT_HOME * max(1, len(home))
    ]

    def loss(strength: float) -> float:
        logits = found.before if strength == 0 else found.after[strength]
        return float(losses(logits, corrections.fits, routing.decisions).mean())

    return min((0.0, *allowed), key=loss)


def _leaves_right(routing: Routing, logits: np.ndarray, items: Sequence[Item]) -> int:
    predicted = LabelledPredictions(routing, logits, items)
    return int((predicted.best_leaf == predicted.true_leaf)[predicted.leaf_known].sum())


def _calibrated(
    routing: Routing, logits: np.ndarray, items: Sequence[Item], home: int, precision: float
) -> Routing:
    """Temperatures and thresholds for heads with these logits; the first ``home`` are at home."""
    decisions = routing.decisions
    fits = targets(items, decisions, routing.taxonomy)
    there = fit_temperatures(logits[:home], fits[:home], decisions)
    here = fit_temperatures(logits[home:], fits[home:], decisions)
    reached = {d.node: fits[home:, c].any() for d, c in decisions.with_columns()}
    temperatures = {n: max(t, here[n]) if reached[n] else t for n, t in there.items()}
    # what is familiar was told by the logits of the old heads
    warm = replace(routing, temperatures=temperatures, thresholds={}, familiarity=None)
    nodes = tune_thresholds(warm, logits, [item.label for item in items], precision)
    return replace(warm, thresholds=thresholds_of(nodes))


def _measured(
    after: Routing,
    new: np.ndarray,
    before: Routing,
    old: np.ndarray,
    items: Sequence[Item],
) -> list[PairedComparison]:
    """Measures of the pictures after and before, each with its own thresholds."""
    first, second = LabelledPredictions(after, new, items), LabelledPredictions(before, old, items)
    return compare(first.measures(), second.measures())


def write_adapted(
    bundle: Bundle,
    trial: Trial,
    pictures: Pictures,
    out_folder: Path,
    lineage: Mapping[str, Any],
) -> Bundle:
    """Write the bundle of a trial, with the backends that the old one has.

    Args:
        bundle: The bundle that was adapted.
        trial: From ``try_out``.
        pictures: The corrected pictures; the converted networks are compared on them.
        out_folder: The new bundle's folder; must not exist.
        lineage: What the manifest records of the corrections, such as the crawl.

    Raises:
        BundleError: ``out_folder`` exists.
    """
    check_free(out_folder)
    part = out_folder.with_name(out_folder.name + ".adapted.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(bundle.folder, part, ignore=shutil.ignore_patterns(MANIFEST, "backends"))
    model = read_adaptable(bundle)
    set_head_weights(model, trial.heads)
    write_network(part, 0, model)
    write_calibration(part, trial.routing)
    training = {
        **bundle.manifest.get("training", {}),
        **lineage,
        "adapted_from": bundle.version,
        "corrections": trial.corrections,
        "strength": trial.strength,
    }
    figures = {
        where: {each.name: each.to_json() for each in compared}
        for where, compared in (("shop", trial.shop), ("home", trial.home))
    }
    seal(part, training, figures)
    title = f"Adapted from {bundle.version}"
    add_card_section(part, title, card_text(trial, lineage))
    try:
        if set(bundle.manifest.get("backends", ())) > {TENSORFLOW}:
            convert(part, out_folder, pictures.pixels[::2], pictures.pixels[1::2])
        else:
            part.rename(out_folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Bundle.open(out_folder)


def check_free(out_folder: Path) -> None:
    """Raise ``BundleError`` if something is at the place of a new bundle."""
    if out_folder.exists():
        raise BundleError(f"{out_folder}: is there already; name a new folder with --out")


def card_text(trial: Trial, lineage: Mapping[str, Any]) -> str:
    """The model card's section."""
    where = ", ".join(f"{name} {value}" for name, value in lineage.items() if value)
    return (
        f"The heads were refitted to {trial.corrections} corrections of {trial.groups} products"
        f"{f' ({where})' if where else ''}, strength {trial.strength:g}; temperatures and "
        "thresholds were fitted again. The figures above were measured before that; "
        "those of the cross-validation are in the manifest."
    )


def corrected_features(bundle: Bundle, pictures: Pictures) -> FeatureSet:
    """The features of corrected pictures.

    Raises:
        DatasetError: There are none.
        BundleError: The bundle cannot be adapted.
    """
    if not len(pictures):
        raise DatasetError("expected corrected pictures, received none")
    return FeatureSet(features_of(read_adaptable(bundle), pictures.pixels), pictures.items)
