"""The loss of a network that answers several decisions, on labels that may be partly known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from cascade.taxonomy import Decision

LEAST = 1e-7


def decision_loss(
    decisions: Sequence[Decision], label_smoothing: float = 0.0
) -> Callable[[Any, Any], Any]:
    """A loss over ``(N, K)`` targets (see ``cascade.dataset.targets``) and ``(N, K)`` logits.

    For each decision it is minus the logarithm of the probability of all outcomes that fit: the
    ordinary cross-entropy where one fits, what is known where several do (``shoes/?/boots``), and
    nothing where the picture does not lie below the decision's node. Returns ``(N,)``: the sum
    over the decisions.
    """
    widths = [len(decision.outcomes) for decision in decisions]

    def loss(targets: Any, logits: Any) -> Any:
        total: Any = 0.0
        start = 0
        for width in widths:
            fits = targets[:, start : start + width]  # (N, k)
            scores = logits[:, start : start + width]  # (N, k)
            start += width
            log_p = scores - ops.logsumexp(scores, axis=1, keepdims=True)
            inside = ops.cast(ops.sum(fits, axis=1) > 0, log_p.dtype)  # (N,)
            p_fits = ops.sum(ops.exp(log_p) * fits, axis=1)
            known = -ops.log(ops.maximum(p_fits, LEAST))
            spread = -ops.mean(log_p, axis=1)
            total = total + inside * ((1 - label_smoothing) * known + label_smoothing * spread)
        return total

    return loss


def batch_loss(targets: Any, logits: Any, decisions: Sequence[Decision]) -> float:
    """The mean loss of a set of pictures, without smoothing, as a number."""
    values = decision_loss(decisions)(ops.convert_to_tensor(targets), ops.convert_to_tensor(logits))
    return float(keras.ops.convert_to_numpy(ops.mean(values)))
