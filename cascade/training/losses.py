"""The loss of a network that answers several decisions, on labels that may be partly known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from cascade.decisions import DecisionSet

FAR = 1e4  # takes an outcome out of a softmax


def decision_loss(
    decisions: DecisionSet, label_smoothing: float = 0.0
) -> Callable[[Any, Any], Any]:
    """A loss over ``(N, K)`` targets (see ``cascade.data.dataset.targets``) and ``(N, K)`` logits.

    For each decision it is the ordinary cross-entropy where one outcome fits, and nothing where the
    picture does not lie below the decision's node. Where several fit (``shoes/?/boots``) they are
    raised together, against the others, by their mean logit: which of them is the likelier is left
    as it is. (The probability summed over them would raise the likelier one more, and so teach the
    network its own guesses; see docs/decisions/0004.) Returns ``(N,)``: the sum over the decisions.
    """

    def loss(targets: Any, logits: Any) -> Any:
        total: Any = 0.0
        for columns in decisions.columns:
            fits = targets[:, columns]  # (N, k)
            scores = logits[:, columns]  # (N, k)
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


def training_loss(
    decisions: DecisionSet,
    label_smoothing: float = 0.0,
    *,
    mixed: bool = False,
    teacher_share: float = 0.0,
) -> Callable[[Any, Any], Any]:
    """``decision_loss`` for pictures that show two, and for a network that also has a teacher.

    Targets are ``(N, K)`` as for ``decision_loss``. Where pictures are ``mixed`` (see
    ``cascade.training.mixup``) the ``(N, K)`` of the partner and the ``(N, 1)`` share of the loss
    that is the picture's own stand behind. With a ``teacher_share`` the last ``(N, K)`` are a
    teacher's probabilities: that share of the loss of each decision that concerns a picture is the
    cross-entropy with them, the rest that with the label (distillation, Hinton et al. 2015). The
    teacher tells partly known labels apart, too. Returns ``(N,)``.
    """
    total = decisions.width
    labelled = decision_loss(decisions, label_smoothing)

    def learnt(targets: Any, known: Any, logits: Any) -> Any:
        """What a teacher's answers cost, where the decision concerns ``known``."""
        cost: Any = 0.0
        for columns in decisions.columns:
            inside = ops.cast(ops.any(known[:, columns] > 0, axis=1), logits.dtype)  # (N,)
            scores = logits[:, columns]
            log_p = scores - ops.logsumexp(scores, axis=1, keepdims=True)
            cost = cost - inside * ops.sum(targets[:, columns] * log_p, axis=1)
        return cost

    def one(targets: Any, known: Any, logits: Any) -> Any:
        cost = labelled(known, logits)
        if not teacher_share:
            return cost
        taught = targets[:, -total:]
        return (1 - teacher_share) * cost + teacher_share * learnt(taught, known, logits)

    def loss(targets: Any, logits: Any) -> Any:
        first = one(targets, targets[:, :total], logits)
        if not mixed:
            return first
        own = targets[:, 2 * total]  # (N,)
        return own * first + (1 - own) * one(targets, targets[:, total : 2 * total], logits)

    return loss


def batch_loss(targets: Any, logits: Any, decisions: DecisionSet) -> float:
    """The mean loss of a set of pictures, without smoothing, as a number."""
    values = decision_loss(decisions)(ops.convert_to_tensor(targets), ops.convert_to_tensor(logits))
    return float(ops.convert_to_numpy(ops.mean(values)))
