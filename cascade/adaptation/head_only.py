"""Learns the heads alone, on features of a trunk that stays as it is: a quick first answer.

Every picture passes the trunk once or twice instead of twice an epoch, so a folder of some thousand
pictures takes about a minute. The trunk is that of ImageNet or that of the shipped bundle: the one
whose heads have less loss on validation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cascade.adaptation.crossvalidation import losses
from cascade.adaptation.features import features_of, set_head_weights
from cascade.adaptation.linear_heads import MainDirections, fit_heads
from cascade.adaptation.refit import logits_of
from cascade.adaptation.replay import replay_rows
from cascade.bundle import SHIPPED, Bundle
from cascade.data.dataset import Pictures
from cascade.decisions import DecisionSet
from cascade.networks.architectures import Architecture, build
from cascade.networks.heads import HEAD
from cascade.networks.serialisation import read_network

log = logging.getLogger(__name__)

IMAGENET = "ImageNet"
TRIED = 1500  # training pictures that a trunk is chosen by
MIRRORED = 3000  # at most so many training pictures are shown mirrored too
PENALTIES = (1e-4, 1e-3, 1e-2)

Targets = Callable[[Pictures], np.ndarray]


@dataclass(frozen=True)
class HeadsAlone:
    """A network with new heads, and where its trunk is from: ``ImageNet`` or a model version."""

    model: keras.Model
    trunk: str


def train_heads(
    train: Pictures,
    validation: Pictures,
    targets: Targets,
    weights: np.ndarray,
    decisions: DecisionSet,
    *,
    architecture: Architecture,
    seed: int,
) -> HeadsAlone:
    """Fit the heads of a network; its trunk is not trained.

    Args:
        train: At least one picture.
        validation: Pictures that choose the trunk and the penalty. Without any, it is the trunk of
            ImageNet and the middle penalty.
        targets: ``(N, K)`` targets of pictures.
        weights: ``(N,)``, how much each training picture counts.
        decisions: The decisions of the K columns.
        architecture: Of a trunk.
        seed: Of the unused start of the heads.
    """
    height, width = train.pixels.shape[1:3]
    candidates = {IMAGENET: build(architecture, decisions, height, width, seed)}
    if len(validation):
        candidates |= _with_shipped_trunk(architecture, decisions, (height, width), seed)
    judges = validation, targets(validation)
    rows = replay_rows(train.items, TRIED)
    few = train.subset(rows)
    found = {
        name: _fit(model, decisions, (few, targets(few), weights[rows]), judges)
        for name, model in candidates.items()
    }
    chosen = min(found, key=lambda name: found[name][1])
    told = ", ".join(f"{name} {loss:.4f}" for name, (_, loss) in found.items())
    log.info("validation loss by trunk: %s; taking %s", told, chosen)
    model, (heads, loss) = candidates[chosen], found[chosen]
    if len(few) < len(train):
        heads, loss = _fit(model, decisions, (train, targets(train), weights), judges)
        log.info("validation loss with all pictures: %.4f", loss)
    set_head_weights(model, heads)
    return HeadsAlone(model, chosen)


def _with_shipped_trunk(
    architecture: Architecture, decisions: DecisionSet, size: tuple[int, int], seed: int
) -> dict[str, keras.Model]:
    """A network with the shipped trunk, by its model version; none if the layers differ."""
    bundle = Bundle.open(SHIPPED)
    if len(bundle.decisions_of_network) > 1:
        return {}
    learned = _trunk_variables(read_network(bundle.folder, 0))
    model = build(architecture, decisions, *size, seed)
    own = _trunk_variables(model)
    if {name: each.shape for name, each in own.items()} != {
        name: each.shape for name, each in learned.items()
    }:
        return {}
    for name, variable in own.items():
        variable.assign(learned[name])
    return {bundle.version: model}


def _trunk_variables(model: keras.Model) -> dict[str, Any]:
    """The weights of all layers but the heads, without the random state of dropout."""
    return {
        variable.path: variable
        for layer in model.layers
        if not layer.name.startswith(HEAD)
        for variable in layer.weights
        if "seed_generator" not in variable.path
    }


def _fit(
    model: keras.Model,
    decisions: DecisionSet,
    shown: tuple[Pictures, np.ndarray, np.ndarray],
    judges: tuple[Pictures, np.ndarray],
) -> tuple[np.ndarray, float]:
    """``(F + 1, K)`` heads by the best penalty, and their mean loss on validation.

    ``shown`` is pictures, targets and weights; ``judges`` pictures and targets.
    """
    pictures, fits, weights = shown
    pixels, count = [pictures.pixels], len(pictures)
    if count <= MIRRORED:
        pixels.append(pictures.pixels[:, :, ::-1])
        fits, weights = np.tile(fits, (2, 1)), np.tile(weights, 2)
    values = features_of(model, np.concatenate([*pixels, judges[0].pixels]))
    directions = MainDirections.of(values[:count])
    along, judged, truth = directions.along(values[: len(fits)]), values[len(fits) :], judges[1]
    best = np.zeros((0, 0), np.float32), np.inf
    for penalty in PENALTIES if len(truth) else PENALTIES[1:2]:
        heads = directions.as_weights(
            fit_heads(along, fits, decisions, weights=weights, penalty=penalty)
        )
        found = losses(logits_of(heads, judged), truth, decisions)
        loss = float(found.mean()) if len(truth) else 0.0
        if loss < best[1]:
            best = heads, loss
    return best
