"""The loss of a network that answers several decisions, on labels that may be partly known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from cascade.taxonomy import Decision

FAR = 1e4  # takes an outcome out of a softmax


def decision_loss(
    decisions: Sequence[Decision], label_smoothing: float = 0.0
) -> Callable[[Any, Any], Any]:
    """A loss over ``(N, K)`` targets (see ``cascade.dataset.targets``) and ``(N, K)`` logits.

    For each decision it is the ordinary cross-entropy where one outcome fits, and nothing where the
    picture does not lie below the decision's node. Where several fit (``shoes/?/boots``) they are
    raised together, against the others, by their mean logit: which of them is the likelier is left
    as it is. (The probability summed over them would raise the likelier one more, and so teach the
    network its own guesses; see docs/decisions/0004.) Returns ``(N,)``: the sum over the decisions.
    """
    widths = [len(decision.outcomes) for decision in decisions]

    def loss(targets: Any, logits: Any) -> Any:
        total: Any = 0.0
        start = 0
        for width in widths:
            fits = targets[:, start : start + width]  # (N, k)
            scores = logits[:, start : start + width]  # (N, k)
            start += width
            count = ops.sum(fits, axis=1)  # (N,)
            inside = ops.cast(count > 0, scores.dtype)
            together = ops.sum(scores * fits, axis=1) / ops.maximum(count, 1.0)
            together = together + ops.log(ops.maximum(count, 1.0))  # as many equal logits
            others = ops.logsumexp(scores - FAR * fits, axis=1)
            known = ops.softplus(others - together)
            log_p = scores - ops.logsumexp(scores, axis=1, keepdims=True)
            spread = -ops.mean(log_p, axis=1)
            total = total + inside * ((1 - label_smoothing) * known + label_smoothing * spread)
        return total

    return loss


def taught_loss(
    decisions: Sequence[Decision], label_smoothing: float, share: float
) -> Callable[[Any, Any], Any]:
    """``decision_loss`` mixed with what a teacher says (distillation, Hinton et al. 2015).

    Targets are ``(N, 2K)``: those of ``decision_loss``, then the teacher's probabilities. Of each
    decision that concerns a picture, ``share`` of the loss is the cross-entropy with the teacher,
    the rest that with the label. The teacher tells partly known labels apart, too.
    """
    widths = [len(decision.outcomes) for decision in decisions]
    labelled = decision_loss(decisions, label_smoothing)

    def loss(targets: Any, logits: Any) -> Any:
        total = sum(widths)
        known, taught = targets[:, :total], targets[:, total:]
        learnt: Any = 0.0
        start = 0
        for width in widths:
            columns = slice(start, start + width)
            start += width
            inside = ops.cast(ops.any(known[:, columns] > 0, axis=1), logits.dtype)  # (N,)
            scores = logits[:, columns]
            log_p = scores - ops.logsumexp(scores, axis=1, keepdims=True)
            learnt = learnt - inside * ops.sum(taught[:, columns] * log_p, axis=1)
        return (1 - share) * labelled(known, logits) + share * learnt

    return loss


def batch_loss(targets: Any, logits: Any, decisions: Sequence[Decision]) -> float:
    """The mean loss of a set of pictures, without smoothing, as a number."""
    values = decision_loss(decisions)(ops.convert_to_tensor(targets), ops.convert_to_tensor(logits))
    return float(ops.convert_to_numpy(ops.mean(values)))
