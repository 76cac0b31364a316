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
    calibrated_losses,
    corrections_needed,
    cross_validate,
    farthest,
)
from cascade.adaptation.features import features_of, head_weights, read_adaptable, set_head_weights
from cascade.adaptation.refit import Labelled, Refitter, logits_of
from cascade.adaptation.replay import TRAIN, VALIDATION, FeatureSet, read_replay
from cascade.adaptation.sure_labels import as_sure_as
from cascade.adaptation.views import other_views
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
        gain: How much less calibrated loss a corrected picture has that the heads were not fitted
            to.
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
        """Whether the gain is sure, and there was something to learn."""
        return self.strength > 0 and self.gain.sure and self.right[0] < self.corrections


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

    The strength is the farthest of those that have no less corrected pictures right, lose no more
    than ``MOST_LOST_AT_HOME`` at home, and gain as much as the best within its standard error.
    Temperatures and thresholds are fitted to home with the new heads; then the thresholds of all
    leaves are moved together until labels of the shop are as precise as before, and as many are
    sure (``cascade.adaptation.sure_labels``).

    Args:
        bundle: With one adaptable network.
        features: The corrected pictures.
        groups: The group of each; see ``product_groups``.
        precision: Share of right labels to aim at where they stop, at home.
        replay: The bundle's replayed features, if they are read already.

    Raises:
        BundleError: The bundle cannot be adapted, or carries no features.
        DatasetError: The corrections are of too few products.
    """
    replay = replay or read_replay(bundle)
    decisions, taxonomy, routing = bundle.decisions, bundle.taxonomy, bundle.routing

    def labelled(pictures: FeatureSet) -> Labelled:
        fits = targets(pictures.items, decisions, taxonomy)
        return Labelled(pictures.values, fits, pictures.views)

    old = head_weights(read_adaptable(bundle))
    divisors = [routing.temperatures.get(decision.node, 1.0) for decision in decisions]
    calm = old / np.repeat(divisors, [len(decision.outcomes) for decision in decisions])
    refitter = Refitter(calm, labelled(replay.of_split(TRAIN)), decisions)
    corrections, home = labelled(features), replay.of_split(VALIDATION)
    found = cross_validate(refitter, corrections, groups)
    fitted = refitter.refit(corrections)
    at_home = {s: logits_of(calm + s * (fitted - calm), home.values) for s in (0.0, *STRENGTHS)}
    bare = replace(routing, temperatures={}, familiarity=None)
    right = {
        s: _leaves_right(bare, logits, features.items)
        for s, logits in {0.0: found.before, **found.after}.items()
    }
    kept = {s: _leaves_right(bare, logits, home.items) for s, logits in at_home.items()}
    allowed = [
        s
        for s in STRENGTHS
        if kept[0.0] - kept[s] <= MOST_LOST_AT_HOME * max(1, len(home)) and right[s] >= right[0.0]
    ]
    old_loss = calibrated_losses(found.before, corrections.fits, decisions)
    gains = {
        s: Gain.of(old_loss, calibrated_losses(found.after[s], corrections.fits, decisions), groups)
        for s in STRENGTHS
    }
    strength, gain = farthest(gains, allowed)
    half = Gain.of(old_loss, calibrated_losses(found.half, corrections.fits, decisions), groups)
    own = found.after.get(strength, found.before)
    before = replace(routing, temperatures={})  # the heads of `calm` have them divided out
    after = _calibrated(routing, at_home[strength], home.items, precision)
    after = as_sure_as(before, found.before, after, own, features.items)
    return Trial(
        strength,
        calm + strength * (fitted - calm),
        after,
        gain,
        (right[0.0], right[strength]),
        _measured(after, own, before, found.before, features.items),
        _measured(after, at_home[strength], before, at_home[0.0], home.items),
        len(features),
        len(set(groups)),
        corrections_needed(len(features), gain, half),
    )


def _leaves_right(routing: Routing, logits: np.ndarray, items: Sequence[Item]) -> int:
    predicted = LabelledPredictions(routing, logits, items)
    return int((predicted.best_leaf == predicted.true_leaf)[predicted.leaf_known].sum())


def _calibrated(
    routing: Routing, logits: np.ndarray, items: Sequence[Item], precision: float
) -> Routing:
    """Temperatures and thresholds for heads with these logits of pictures at home."""
    decisions = routing.decisions
    temperatures = fit_temperatures(logits, targets(items, decisions, routing.taxonomy), decisions)
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
    """The features of corrected pictures, and of other views of them.

    Raises:
        DatasetError: There are none.
        BundleError: The bundle cannot be adapted.
    """
    if not len(pictures):
        raise DatasetError("expected corrected pictures, received none")
    every = [pictures.pixels, *other_views(pictures.pixels)]
    values = features_of(read_adaptable(bundle), np.concatenate(every))
    own, *views = values.reshape(len(every), len(pictures), -1)
    return FeatureSet(own, pictures.items, np.stack(views))
