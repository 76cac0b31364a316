"""How often each outcome is meant to be expected, after training drew small classes more often.

Draws by ``balance`` show a network rare classes more often than they are, so it expects them more
often too. The logarithm of what is by what was drawn, added to the logits, takes that back (logit
adjustment; Menon et al. 2021, Long-tail learning via logit adjustment). How much of it serves is
measured on validation: what is rare in one shop need not be in another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np

from cascade.calibration import fit_temperatures, smoothed_cross_entropy
from cascade.data.dataset import Item, Pictures, targets
from cascade.decisions import DecisionSet
from cascade.taxonomy import Taxonomy
from cascade.training.batches import draw_weights
from cascade.training.callbacks import logits_of

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def expect_true_shares(
    model: keras.Model,
    decisions: DecisionSet,
    train: Pictures,
    validation: Pictures,
    *,
    taxonomy: Taxonomy,
    balance: float,
) -> dict[str, float]:
    """Move a trained network's biases to the classes' true shares, as far as validation asks for.

    Both sets hold what concerns the network's decisions. Returns what share of the shift each
    decision took, by node.
    """
    shifts = prior_shifts(train.items, draw_weights(train.items, balance), decisions, taxonomy)
    answers = targets(validation.items, decisions, taxonomy)
    logits = logits_of(model, validation.pixels)
    strengths = fit_strengths(logits, answers, decisions, shifts)
    move_biases(model, decisions, shifts, strengths)
    return strengths


def prior_shifts(
    items: Sequence[Item], draw: np.ndarray, decisions: DecisionSet, taxonomy: Taxonomy
) -> np.ndarray:
    """``(K,)`` what to add to the logits so that they expect classes as often as they are.

    ``draw`` is the ``(N,)`` weight by which each training picture was drawn. Pictures with a partly
    known label say nothing of the classes' shares and are left out; so is a class without others.
    """
    fits = targets(items, decisions, taxonomy)
    shifts = np.zeros(fits.shape[1])
    for columns in decisions.columns:
        known = fits[:, columns].sum(axis=1) == 1
        there = fits[known, columns].sum(axis=0)
        drawn = (fits[known, columns] * draw[known, None]).sum(axis=0)
        if (there > 0).all():
            shifts[columns] = np.log(there / there.sum()) - np.log(drawn / drawn.sum())
    return shifts


def fit_strengths(
    logits: np.ndarray, answers: np.ndarray, decisions: DecisionSet, shifts: np.ndarray
) -> dict[str, float]:
    """For each decision the share of its shifts, one of ``STRENGTHS``, with the least cost.

    ``logits`` and ``answers`` are ``(N, K)``, of validation pictures; each share is judged at the
    temperature that suits it best. A decision that no picture concerns keeps 0.
    """
    result = {}
    for decision, columns in decisions.with_columns():
        concerned = answers[:, columns].sum(axis=1) > 0
        own, right = logits[concerned, columns].astype(np.float64), answers[concerned, columns]
        best, least = 0.0, math.inf
        for strength in STRENGTHS if concerned.any() else ():
            moved = own + strength * shifts[columns]
            temperature = fit_temperatures(moved, right, DecisionSet([decision]))[decision.node]
            cost = smoothed_cross_entropy(moved, right, temperature)
            if cost < least - 1e-9:
                best, least = strength, cost
        result[decision.node] = best
    return result


def move_biases(
    model: keras.Model,
    decisions: DecisionSet,
    shifts: np.ndarray,
    strengths: dict[str, float],
) -> None:
    """Add each decision's shifts to the bias of its head, the layer ``decide_N``."""
    for number, (decision, columns) in enumerate(decisions.with_columns()):
        bias = model.get_layer(f"decide_{number}").bias
        bias.assign_add((strengths[decision.node] * shifts[columns]).astype("float32"))
