"""Losses for several decisions: partly known labels, mixed pictures, distillation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from cascade.decisions import DecisionSet

MASK = 1e4  # subtracted from a logit to exclude it from a softmax


def decision_loss(
    decisions: DecisionSet, label_smoothing: float = 0.0
) -> Callable[[Any, Any], Any]:
    """Cross-entropy summed over the decisions, for labels that may be partly known.

    A decision with one fitting outcome costs the usual cross-entropy. A decision that does not
    apply to the picture costs nothing. Where several outcomes fit (``shoes/?/boots``), the loss
    raises their mean logit against the others and leaves their order unchanged. Summing their
    probabilities instead would raise the likelier one more, so the network would learn its own
    guesses (docs/decisions/0004).

    Args:
        decisions: The decisions of the network, K outcomes in total.
        label_smoothing: Share of the loss that is the mean over all outcomes, 0 to 1.

    Returns:
        A function of targets ``(N, K)`` (see ``cascade.data.dataset.targets``) and logits
        ``(N, K)`` that returns the loss of each picture, ``(N,)``.
    """

    def loss(targets: Any, logits: Any) -> Any:
        total: Any = 0.0
        for columns in decisions.columns:
            fits = targets[:, columns]  # (N, k)
            scores = logits[:, columns]  # (N, k)
            count = ops.sum(fits, axis=1)  # (N,)
            applies = ops.cast(count > 0, scores.dtype)
            together = ops.sum(scores * fits, axis=1) / ops.maximum(count, 1.0)
            together = together + ops.log(ops.maximum(count, 1.0))  # as many equal logits
            others = ops.logsumexp(scores - MASK * fits, axis=1)
            known = ops.softplus(others - together)
            log_p = scores - ops.logsumexp(scores, axis=1, keepdims=True)
            spread = -ops.mean(log_p, axis=1)
            total = total + applies * ((1 - label_smoothing) * known + label_smoothing * spread)
        return total

    return loss


def training_loss(
    decisions: DecisionSet,
    label_smoothing: float = 0.0,
    *,
    mixed: bool = False,
    distillation_weight: float = 0.0,
) -> Callable[[Any, Any], Any]:
    """``decision_loss``, extended for mixed pictures and for distillation.

    With distillation (Hinton et al. 2015), the loss of each decision that applies to the picture
    is a weighted mean of the cross-entropy with the label and with the teacher's soft label. So
    soft labels also distinguish the outcomes of partly known labels.

    Args:
        decisions: The decisions of the network, K outcomes in total.
        label_smoothing: As in ``decision_loss``.
        mixed: Whether pictures are mixed (``cascade.training.mixup``).
        distillation_weight: Weight of the soft labels, 0 to 1; 0 for no teacher.

    Returns:
        A function of targets and logits ``(N, K)`` that returns the loss of each picture,
        ``(N,)``. The targets are these columns side by side: K of the picture; if mixed, K of its
        partner and 1 with the picture's own share; with a teacher, K soft labels.
    """
    width = decisions.width
    label_loss = decision_loss(decisions, label_smoothing)

    def soft_label_loss(soft_labels: Any, fits: Any, logits: Any) -> Any:
        total: Any = 0.0
        for columns in decisions.columns:
            applies = ops.cast(ops.any(fits[:, columns] > 0, axis=1), logits.dtype)  # (N,)
            scores = logits[:, columns]
            log_p = scores - ops.logsumexp(scores, axis=1, keepdims=True)
            total = total - applies * ops.sum(soft_labels[:, columns] * log_p, axis=1)
        return total

    def one_picture(targets: Any, fits: Any, logits: Any) -> Any:
        hard = label_loss(fits, logits)
        if not distillation_weight:
            return hard
        soft = soft_label_loss(targets[:, -width:], fits, logits)
        return (1 - distillation_weight) * hard + distillation_weight * soft

    def loss(targets: Any, logits: Any) -> Any:
        first = one_picture(targets, targets[:, :width], logits)
        if not mixed:
            return first
        share = targets[:, 2 * width]  # (N,)
        second = one_picture(targets, targets[:, width : 2 * width], logits)
        return share * first + (1 - share) * second

    return loss


def mean_loss(targets: Any, logits: Any, decisions: DecisionSet) -> float:
    """Mean ``decision_loss`` of ``(N, K)`` targets and logits, without label smoothing."""
    values = decision_loss(decisions)(ops.convert_to_tensor(targets), ops.convert_to_tensor(logits))
    return float(ops.convert_to_numpy(ops.mean(values)))
