"""Mixup and CutMix: combine two training pictures, to reduce overfitting.

Mixup blends them: Zhang et al. 2018, *mixup: Beyond Empirical Risk Minimization*. CutMix pastes a
part of one over the other: Yun et al. 2019, *CutMix: Regularization Strategy to Train Strong
Classifiers with Localizable Features*. The loss is the mean of both pictures' losses, weighted by
how much of each is visible. So partly known labels, and decisions that apply to only one of the
two, need no special case.
"""

from __future__ import annotations

import numpy as np

MIXUP_ALPHA = 0.2  # of Beta(a, a): shares mostly near 0 or 1, as in the mixup paper
CUTMIX_ALPHA = 1.0  # all patch sizes equally likely, as in the CutMix paper


def mix(
    pictures: np.ndarray, probability: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mix pictures of a batch with others of the same batch, half by mixup, half by CutMix.

    Args:
        pictures: ``(n, height, width, 3)`` uint8.
        probability: Share of the pictures that are mixed.
        random: Source of randomness.

    Returns:
        The mixed pictures, same shape and type; ``(n,)`` index of each one's partner; ``(n,)``
        float32 share, 0 to 1, of the picture's own content.
    """
    count = len(pictures)
    partners = random.permutation(count)
    mixed, own = pictures.copy(), np.ones(count, np.float32)
    for number in np.flatnonzero(random.random(count) < probability):
        first, second = pictures[number], pictures[partners[number]]
        if random.random() < 0.5:
            mixed[number], own[number] = _mixup(first, second, random)
        else:
            mixed[number], own[number] = _cutmix(first, second, random)
    return mixed, partners, own


def _mixup(
    first: np.ndarray, second: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    share = float(random.beta(MIXUP_ALPHA, MIXUP_ALPHA))
    blended = first * np.float32(share) + second * np.float32(1 - share)
    return np.rint(blended).astype(np.uint8), share


def _cutmix(
    first: np.ndarray, second: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Paste a patch of the second picture at a random place; the border may crop it."""
    height, width = first.shape[:2]
    side = np.sqrt(1 - random.beta(CUTMIX_ALPHA, CUTMIX_ALPHA))
    rows, columns = int(height * side) // 2, int(width * side) // 2
    y, x = int(random.integers(height)), int(random.integers(width))
    patch = (
        slice(max(0, y - rows), min(height, y + rows)),
        slice(max(0, x - columns), min(width, x + columns)),
    )
    pasted = first.copy()
    pasted[patch] = second[patch]
    area = (patch[0].stop - patch[0].start) * (patch[1].stop - patch[1].start)
    return pasted, 1 - area / (height * width)
