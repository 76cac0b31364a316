"""Logit adjustment: undo what oversampling small classes does to their predicted frequency.

Oversampling (``balance``) shows a network rare classes more often than they occur, so it predicts
them too often. Adding the logarithm of true share over sampled share to the logits undoes that
(Menon et al. 2021, *Long-tail learning via logit adjustment*). How much of it helps is measured on
validation, because a class that is rare in one shop need not be rare in another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from cascade.calibration import fit_temperatures, smoothed_cross_entropy
from cascade.data.dataset import Item, targets
from cascade.decisions import DecisionSet
from cascade.taxonomy import Taxonomy
from cascade.training.batches import sampling_weights
from cascade.training.callbacks import predict_logits
from cascade.training.task import TrainingTask

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def adjust_logits(model: keras.Model, task: TrainingTask, balance: float) -> dict[str, float]:
    """Adjust the biases of a trained network, by the strength that suits validation best.

    Args:
        model: The network, changed in place.
        task: The pictures that the network's decisions apply to.
        balance: The oversampling that it was trained with.

    Returns:
        The strength of each decision's adjustment, 0 to 1, by node.
    """
    weights = sampling_weights(task.train.items, balance)
    shifts = prior_shifts(task.train.items, weights, task.decisions, task.taxonomy)
    logits = predict_logits(model, task.validation.pixels)
    strengths = fit_strengths(logits, task.targets(task.validation), task.decisions, shifts)
    shift_biases(model, task.decisions, shifts, strengths)
    return strengths


def prior_shifts(
    items: Sequence[Item], weights: np.ndarray, decisions: DecisionSet, taxonomy: Taxonomy
) -> np.ndarray:
    """What to add to the logits for full adjustment, ``(K,)``: log of true over sampled share.

    ``weights`` are the ``(N,)`` sampling weights of the training pictures. Partly known labels are
    left out. A decision where a class has no pictures gets no shift.
    """
    fits = targets(items, decisions, taxonomy)
    shifts = np.zeros(fits.shape[1])
    for columns in decisions.columns:
        known = fits[:, columns].sum(axis=1) == 1
        count = fits[known, columns].sum(axis=0)
        sampled = (fits[known, columns] * weights[known, None]).sum(axis=0)
        if (count > 0).all():
            shifts[columns] = np.log(count / count.sum()) - np.log(sampled / sampled.sum())
    return shifts


def fit_strengths(
    logits: np.ndarray, fits: np.ndarray, decisions: DecisionSet, shifts: np.ndarray
) -> dict[str, float]:
    """The strength with the least cost for each decision, one of ``STRENGTHS``, by node.

    ``logits`` and ``fits`` (targets) are ``(N, K)``, of validation pictures. Each strength is
    judged at its best temperature. A decision that applies to no picture gets 0.
    """
    result = {}
    for decision, columns in decisions.with_columns():
        rows = fits[:, columns].sum(axis=1) > 0
        own, right = logits[rows, columns].astype(np.float64), fits[rows, columns]
        best, least = 0.0, math.inf
        for strength in STRENGTHS if rows.any() else ():
            shifted = own + strength * shifts[columns]
            temperature = fit_temperatures(shifted, right, DecisionSet([decision]))[decision.node]
            cost = smoothed_cross_entropy(shifted, right, temperature)
            if cost < least - 1e-9:
                best, least = strength, cost
        result[decision.node] = best
    return result


def shift_biases(
    model: keras.Model,
    decisions: DecisionSet,
    shifts: np.ndarray,
    strengths: Mapping[str, float],
) -> None:
    """Add strength times shift to the biases of each decision's head, the layer ``decide_N``."""
    for number, (decision, columns) in enumerate(decisions.with_columns()):
        bias = model.get_layer(f"decide_{number}").bias
        bias.assign_add((strengths[decision.node] * shifts[columns]).astype("float32"))
