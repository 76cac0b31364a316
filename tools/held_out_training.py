"""Leave-one-source-out training: how a cascade does on unseen shops.

Fine-tuning once for each source would take days on a small machine. So ``hold_out_heads`` keeps the
pretrained trunk frozen: its features are computed once, and only linear heads are trained for each
source. ``hold_out_network`` trains the full network, for the few sources that matter most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cascade.chunks import chunks
from cascade.data.dataset import Item, Pictures, targets
from cascade.decisions import DecisionSet
from cascade.evaluation.metrics import Rate
from cascade.evaluation.predictions import LabelledPredictions
from cascade.routing import Routing, softmax
from cascade.taxonomy import Taxonomy

if TYPE_CHECKING:
    from cascade.training.batches import Teacher
    from cascade.training.settings import TrainingSettings

STEPS = 300
LEARNING_RATE = 0.01
L2 = 3e-5
EPSILON = 1e-9
PRECISION = 0.98


@dataclass(frozen=True)
class Features:
    """Labelled pictures as ``(N, 1280)`` float32 features of the frozen trunk."""

    items: tuple[Item, ...]
    values: np.ndarray

    def subset(self, rows: np.ndarray) -> Features:
        return Features(tuple(self.items[n] for n in np.flatnonzero(rows)), self.values[rows])


def trunk_features(pixels: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """``(N, height, width, 3)`` uint8 to ``(N, 1280)`` float32 with the ImageNet weights."""
    from cascade.backends.tensorflow import keras_runner
    from cascade.networks.efficientnet_lite import (
        FEATURES,
        efficientnet_lite0,
        load_imagenet_weights,
    )

    trunk = efficientnet_lite0(*pixels.shape[1:3])
    load_imagenet_weights(trunk)
    run = keras_runner(trunk)
    found = [run(np.ascontiguousarray(pixels[part])) for part in chunks(len(pixels), batch_size)]
    return np.concatenate(found) if found else np.zeros((0, FEATURES), np.float32)


@dataclass(frozen=True)
class HeadsVariant:
    """A way to train heads for unseen shops.

    Attributes:
        shop_power: Each shop's weights are divided by their sum to this power: 0 leaves them, and
            with 1 every shop counts alike.
        dro: Step of group DRO: after each step, a shop's weight is multiplied by the exponential of
            this times its loss, so that the shop with the greatest loss comes to count most
            (Sagawa et al. 2020, *Distributionally Robust Neural Networks*). 0 for none.
        recentre: Share, 0 to 1, of the distance to the mean over shops that the features of
            each shop are moved, also of the unseen one. That needs its pictures, but no label.
    """

    shop_power: float = 0.0
    dro: float = 0.0
    recentre: float = 0.0


HEADS_VARIANTS = {
    "plain": HeadsVariant(),
    "shops-root": HeadsVariant(shop_power=0.5),
    "shops-alike": HeadsVariant(shop_power=1.0),
    "dro": HeadsVariant(dro=0.01),
    "recentre-half": HeadsVariant(recentre=0.5),
    "recentre": HeadsVariant(recentre=1.0),
}


@dataclass(frozen=True)
class Heads:
    """Linear heads over standardised features."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray  # (1280, K)
    bias: np.ndarray  # (K,)

    def logits(self, values: np.ndarray) -> np.ndarray:
        """``(N, 1280)`` features to ``(N, K)`` logits."""
        result: np.ndarray = (values - self.mean) / self.scale @ self.weights + self.bias
        return result


def fit_heads(
    features: Features,
    decisions: DecisionSet,
    taxonomy: Taxonomy,
    balance: float = 0.5,
    seed: int | None = None,
    *,
    shops: np.ndarray | None = None,
    variant: HeadsVariant = HEADS_VARIANTS["plain"],
) -> Heads:
    """Softmax regression for each decision.

    The probability of a partly known label is the sum over its outcomes. Full-batch Adam from zero
    makes it reproducible. Small classes and sources weigh more, as ``sampling_weights`` says. With
    a seed, each product's weight is also multiplied by a random factor (``product_factors``).
    ``shops`` is the ``(N,)`` number of each picture's shop, from 0, for the variants.
    """
    from cascade.training.batches import sampling_weights

    mean = features.values.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = features.values.std(axis=0, dtype=np.float64).astype(np.float32) + 1e-3
    x = (features.values.astype(np.float32) - mean) / scale  # (N, 1280)
    fits = targets(features.items, decisions, taxonomy)
    weights = sampling_weights(features.items, balance)
    if seed is not None:
        weights = weights * product_factors(features.items, seed)
    shops = np.zeros(len(weights), int) if shops is None else shops
    shares = np.bincount(shops, weights / weights.sum())  # of each shop
    weights = weights / weights.sum() / shares[shops]
    shares = np.where(shares > 0, shares, 1.0) ** (1 - variant.shop_power) * (shares > 0)
    parameters = np.zeros((x.shape[1] + 1, fits.shape[1]), np.float32)
    first, second = np.zeros_like(parameters), np.zeros_like(parameters)
    for step in range(1, STEPS + 1):
        shares = shares / shares.sum()
        logits = x @ parameters[:-1] + parameters[-1]
        losses, gradients = _losses_and_gradient(logits, fits, decisions)
        error = (weights * shares[shops])[:, None].astype(np.float32) * gradients
        shares = shares * np.exp(variant.dro * np.bincount(shops, weights * losses))
        gradient = np.concatenate([x.T @ error, error.sum(axis=0, keepdims=True)])
        gradient[:-1] += L2 * parameters[:-1]
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        parameters -= LEARNING_RATE * first / (1 - 0.9**step) / corrected
    return Heads(mean, scale, parameters[:-1], parameters[-1])


def product_factors(items: Sequence[Item], seed: int) -> np.ndarray:
    """``(N,)`` float64: a random factor for each group, exponential with mean 1.

    Heads have no random start, so this is what their seeds differ by: which products training
    happened to see (Rubin 1981, *The Bayesian Bootstrap*). A picture without a group is its own.
    """
    names, inverse = np.unique([item.group or item.path for item in items], return_inverse=True)
    factors: np.ndarray = np.random.default_rng(seed).exponential(size=len(names))[inverse]
    return factors


def _losses_and_gradient(
    logits: np.ndarray, fits: np.ndarray, decisions: DecisionSet
) -> tuple[np.ndarray, np.ndarray]:
    """``(N,)`` losses, and ``(N, K)``: the gradient of each loss with respect to its logits."""
    result, losses = np.zeros_like(logits), np.zeros(len(logits))
    for columns in decisions.columns:
        p = softmax(logits[:, columns])
        target = p * fits[:, columns]
        total = target.sum(axis=1, keepdims=True)
        target /= np.maximum(total, EPSILON)
        applies = fits[:, columns].any(axis=1, keepdims=True)
        result[:, columns] = (p - target) * applies
        losses -= np.log(np.maximum(total, EPSILON))[:, 0] * applies[:, 0]
    return losses, result


def shop_numbers(items: Sequence[Item], shops: Mapping[str, Sequence[str]]) -> np.ndarray:
    """``(N,)`` the number of each picture's shop, from 0; a source of no shop is its own."""
    owner = {source: shop for shop, sources in shops.items() for source in sources}
    names = [owner.get(item.source, item.source) for item in items]
    numbers: np.ndarray = np.unique(names, return_inverse=True)[1]
    return numbers


def recentred(values: np.ndarray, shops: np.ndarray, share: float) -> np.ndarray:
    """Features, those of each shop moved by ``share`` of the way to the mean over shops."""
    means = np.stack([values[shops == shop].mean(axis=0) for shop in range(shops.max() + 1)])
    moved: np.ndarray = values + share * (means.mean(axis=0) - means)[shops]
    return moved


@dataclass(frozen=True)
class HeldOutResult:
    """Logits of a cascade that was trained without some sources, on the pictures of those.

    With no held-out source, the pictures are those of the test split, for comparison. ``routing``
    is calibrated on ``validation``, pictures of the other sources.
    """

    routing: Routing
    items: tuple[Item, ...]
    logits: np.ndarray  # (N, K)
    validation: tuple[Item, ...] = ()
    validation_logits: np.ndarray | None = None  # (V, K)
    teacher: Teacher | None = None  # the trained network, as a teacher for another one

    def rates(self, source: str | None = None) -> dict[str, Rate]:
        """Rates by their names in a report; of one source, or of all."""
        rows = [n for n, item in enumerate(self.items) if source in (None, item.source)]
        items = tuple(self.items[n] for n in rows)
        measures = LabelledPredictions(self.routing, self.logits[rows], items).measures()
        return {name: measure.rate for name, measure in measures.items()}


def hold_out_heads(
    features: Features,
    sources: Sequence[str],
    taxonomy: Taxonomy,
    precision: float = PRECISION,
    seed: int | None = None,
    *,
    shops: Mapping[str, Sequence[str]] | None = None,
    variant: HeadsVariant = HEADS_VARIANTS["plain"],
) -> HeldOutResult:
    """Train heads without ``sources``, calibrate on the remaining validation pictures.

    The result covers all pictures of the sources, of every split, since none was trained on.
    ``shops`` are the sources of each shop, for the variants.
    """
    decisions = taxonomy.decisions()
    split = _Split.of(features.items, sources)
    numbers = shop_numbers(features.items, shops or {})
    if variant.recentre:
        moved = recentred(features.values, numbers, variant.recentre)
        features = replace(features, values=moved)
    heads = fit_heads(
        features.subset(split.train),
        decisions,
        taxonomy,
        seed=seed,
        shops=numbers[split.train],
        variant=variant,
    )
    logits = heads.logits(features.values)
    return _result(Routing(taxonomy, decisions), features.items, logits, split, precision)


def hold_out_network(
    pictures: Pictures,
    sources: Sequence[str],
    taxonomy: Taxonomy,
    settings: TrainingSettings,
    folder: Path,
    *,
    teacher: Teacher | None = None,
) -> HeldOutResult:
    """Like ``hold_out_heads``, but train the full network.

    Args:
        pictures: Pictures of all sources and splits.
        sources: The sources to hold out.
        taxonomy: The tree of labels.
        settings: Settings of an architecture with one network for all decisions.
        folder: Where the state is stored, from which a stopped run resumes.
        teacher: Gives soft labels; a network that was trained without ``sources`` too.
    """
    from cascade.backends.tensorflow import keras_runner
    from cascade.training.callbacks import predict_logits
    from cascade.training.logit_adjustment import adjust_logits
    from cascade.training.model_soup import train_averaged
    from cascade.training.task import TrainingTask

    decisions = taxonomy.decisions(settings.form)
    split = _Split.of(pictures.items, sources)
    train, validation = pictures.subset(split.train), pictures.subset(split.validation)
    task = TrainingTask(train, validation, decisions, taxonomy, teacher)
    model, _ = train_averaged(task, settings, folder=folder)
    adjust_logits(model, task, settings.balance)
    needed = split.validation | split.evaluated
    logits = np.zeros((len(pictures), decisions.width), np.float32)
    logits[needed] = predict_logits(model, pictures.pixels[needed])
    found = _result(Routing(taxonomy, decisions), pictures.items, logits, split)
    run = keras_runner(model)
    return replace(found, teacher=lambda pixels: found.routing.outcome_probabilities(run(pixels)))


@dataclass(frozen=True)
class _Split:
    """The items of each part, ``(N,)`` bool."""

    train: np.ndarray
    validation: np.ndarray
    evaluated: np.ndarray

    @classmethod
    def of(cls, items: Sequence[Item], sources: Sequence[str]) -> _Split:
        out = np.array([item.source in sources for item in items])
        split = np.array([item.split for item in items])
        evaluated = out if len(sources) else split == "test"
        return cls(~out & (split == "train"), ~out & (split == "validation"), evaluated)


def _result(
    routing: Routing,
    items: Sequence[Item],
    logits: np.ndarray,
    split: _Split,
    precision: float = PRECISION,
) -> HeldOutResult:
    """Calibrate on the validation rows, return the evaluated ones."""
    from cascade.training.recalibrate import calibrate

    validation = tuple(items[int(n)] for n in np.flatnonzero(split.validation))
    routing, _ = calibrate(routing, logits[split.validation], validation, precision)
    evaluated = tuple(items[int(n)] for n in np.flatnonzero(split.evaluated))
    return HeldOutResult(
        routing, evaluated, logits[split.evaluated], validation, logits[split.validation]
    )


def cached_result(
    path: Path,
    items: Sequence[Item],
    sources: Sequence[str],
    taxonomy: Taxonomy,
    compute: Callable[[], HeldOutResult],
) -> HeldOutResult:
    """The result whose logits are in ``path``; computed and stored if they are not there.

    Logits of other pictures, labels or splits are computed again. The calibration is not stored.
    """
    split = _Split.of(items, sources)
    needed = split.validation | split.evaluated
    key = _fingerprint([items[int(n)] for n in np.flatnonzero(needed | split.train)], sources)
    if path.is_file():
        with np.load(path) as stored:
            if str(stored["key"]) == key:
                logits = np.zeros((len(items), stored["logits"].shape[1]), np.float32)
                logits[needed] = stored["logits"]
                routing = Routing(taxonomy, taxonomy.decisions())
                return _result(routing, items, logits, split)
    result = compute()
    assert result.validation_logits is not None
    logits = np.zeros((len(items), result.logits.shape[1]), np.float32)
    logits[split.validation] = result.validation_logits
    logits[split.evaluated] = result.logits
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"part-{path.name}")
    np.savez(unfinished, key=np.array(key), logits=logits[needed])
    unfinished.replace(path)
    return result


def _fingerprint(items: Sequence[Item], sources: Sequence[str]) -> str:
    """A hash of the pictures' names, labels, splits and sources, in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sources:
        digest.update(f"{name}|".encode())
    for item in items:
        line = f"{Path(item.path).name}|{item.label}|{item.split}|{item.source}|{item.group}\n"
        digest.update(line.encode())
    return digest.hexdigest()
