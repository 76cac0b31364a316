"""How a cascade does on a shop that it never saw: whole sources held out in turn.

Fine-tuning once for each source would take days on a small machine, so ``hold_out`` leaves the
pretrained trunk as it is: its features are worked out once, and only linear heads are trained anew
for each source. ``hold_out_trained`` trains the whole network, for the few that matter most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cascade.calibration import fit_temperatures, thresholds_of, tune_thresholds
from cascade.chunks import chunks
from cascade.data.dataset import Item, Pictures, targets
from cascade.decisions import DecisionSet
from cascade.evaluation.metrics import Rate
from cascade.evaluation.predictions import LabelledPredictions
from cascade.routing import Routing, softmax
from cascade.taxonomy import Taxonomy

if TYPE_CHECKING:
    from cascade.training.batches import Teach
    from cascade.training.settings import TrainingSettings

STEPS = 300
RATE = 0.01
PENALTY = 3e-5
SMALLEST = 1e-9


@dataclass(frozen=True)
class Features:
    """Pictures as the frozen trunk sees them: ``(N, 1280)``, with what they are."""

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
    features: Features, decisions: DecisionSet, taxonomy: Taxonomy, balance: float = 0.5
) -> Heads:
    """Softmax regression for each decision, partly known labels with the sum over what fits.

    Full-batch Adam from zero, so the same every time; small classes and sources weigh more.
    """
    from cascade.training.batches import draw_weights

    mean = features.values.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = features.values.std(axis=0, dtype=np.float64).astype(np.float32) + 1e-3
    x = (features.values.astype(np.float32) - mean) / scale  # (N, 1280)
    fits = targets(features.items, decisions, taxonomy)
    draw = draw_weights(features.items, balance)
    draw = (draw / draw.sum())[:, None].astype(np.float32)
    parameters = np.zeros((x.shape[1] + 1, fits.shape[1]), np.float32)
    first, second = np.zeros_like(parameters), np.zeros_like(parameters)
    for step in range(1, STEPS + 1):
        error = draw * _error(x @ parameters[:-1] + parameters[-1], fits, decisions)
        gradient = np.concatenate([x.T @ error, error.sum(axis=0, keepdims=True)])
        gradient[:-1] += PENALTY * parameters[:-1]
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        parameters -= RATE * first / (1 - 0.9**step) / corrected
    return Heads(mean, scale, parameters[:-1], parameters[-1])


def _error(logits: np.ndarray, fits: np.ndarray, decisions: DecisionSet) -> np.ndarray:
    """``(N, K)``: the gradient of each picture's loss over its logits."""
    result = np.zeros_like(logits)
    for columns in decisions.columns:
        p = softmax(logits[:, columns])
        wanted = p * fits[:, columns]
        total = wanted.sum(axis=1, keepdims=True)
        wanted /= np.maximum(total, SMALLEST)
        inside = fits[:, columns].any(axis=1, keepdims=True)
        result[:, columns] = (p - wanted) * inside
    return result


@dataclass(frozen=True)
class Strangers:
    """What a cascade that was trained without some sources says of their pictures.

    With no sources held out these are the pictures of the test split, for comparison.
    """

    routing: Routing
    items: tuple[Item, ...]
    logits: np.ndarray  # (N, K), of every network
    teach: Teach | None = None  # for another network to learn from, where a whole one was trained

    def rates(self, source: str | None = None) -> dict[str, Rate]:
        """Shares by the names that they have in a report; of one source, or of all."""
        rows = [n for n, item in enumerate(self.items) if source in (None, item.source)]
        items = tuple(self.items[n] for n in rows)
        measures = LabelledPredictions(self.routing, self.logits[rows], items).measures()
        return {name: measure.rate for name, measure in measures.items()}


def hold_out(
    features: Features, sources: Sequence[str], taxonomy: Taxonomy, precision: float = 0.98
) -> Strangers:
    """Train without ``sources``, tune on the validation pictures that are left, answer for them.

    All their pictures are answered for, whatever their split: none was trained on.
    """
    decisions = taxonomy.decisions()
    parts = _Parts.of(features.items, sources)
    heads = fit_heads(features.subset(parts.train), decisions, taxonomy)
    logits = heads.logits(features.values)
    return _strangers(taxonomy, features.items, logits, parts, precision)


def hold_out_trained(
    pictures: Pictures,
    sources: Sequence[str],
    taxonomy: Taxonomy,
    settings: TrainingSettings,
    folder: Path,
    *,
    teach: Teach | None = None,
) -> Strangers:
    """As ``hold_out``, but the network is trained without ``sources`` as ``settings`` say.

    ``settings`` are those of a network that all decisions share. Its state lies in ``folder``, and
    a run that was stopped goes on from there. ``teach`` is what it learns from beside the labels:
    that of a network which never saw the ``sources`` either.
    """
    from cascade.backends.tensorflow import keras_runner
    from cascade.training.fit import logits_of
    from cascade.training.logit_adjustment import expect_true_shares
    from cascade.training.model_soup import train_averaged

    decisions = taxonomy.decisions(settings.form)
    parts = _Parts.of(pictures.items, sources)
    train, validation = pictures.subset(parts.train), pictures.subset(parts.validation)
    model, _ = train_averaged(
        train, validation, decisions, taxonomy, settings, folder=folder, teach=teach
    )
    expect_true_shares(
        model, decisions, train, validation, taxonomy=taxonomy, balance=settings.balance
    )
    needed = parts.validation | parts.judged
    logits = np.zeros((len(pictures), decisions.width), np.float32)
    logits[needed] = logits_of(model, pictures.pixels[needed])
    found = _strangers(taxonomy, pictures.items, logits, parts)
    run = keras_runner(model)
    return replace(found, teach=lambda pixels: found.routing.outcome_probabilities(run(pixels)))


@dataclass(frozen=True)
class _Parts:
    """Which items train, choose and are judged: ``(N,)`` bool each."""

    train: np.ndarray
    validation: np.ndarray
    judged: np.ndarray

    @classmethod
    def of(cls, items: Sequence[Item], sources: Sequence[str]) -> _Parts:
        out = np.array([item.source in sources for item in items])
        split = np.array([item.split for item in items])
        judged = out if len(sources) else split == "test"
        return cls(~out & (split == "train"), ~out & (split == "validation"), judged)


def _strangers(
    taxonomy: Taxonomy,
    items: Sequence[Item],
    logits: np.ndarray,
    parts: _Parts,
    precision: float = 0.98,
) -> Strangers:
    """Temperatures and thresholds from the validation rows, answers for the judged ones."""
    decisions = taxonomy.decisions()
    chosen = [items[int(n)] for n in np.flatnonzero(parts.validation)]
    answers = targets(chosen, decisions, taxonomy)
    seen = logits[parts.validation]
    routing = Routing(taxonomy, decisions, fit_temperatures(seen, answers, decisions))
    found = tune_thresholds(routing, seen, [item.label for item in chosen], precision)
    routing = replace(routing, thresholds=thresholds_of(found))
    judged = tuple(items[int(n)] for n in np.flatnonzero(parts.judged))
    return Strangers(routing, judged, logits[parts.judged])
