"""Two training pictures in one, so that a network cannot learn its few pictures by heart.

Blended: Zhang et al. 2018, *mixup: Beyond Empirical Risk Minimization*. One pasted over a part of
the other: Yun et al. 2019, *CutMix: Regularization Strategy to Train Strong Classifiers with
Localizable Features*. Each picture costs what it shows of either, so partly known labels and
decisions that only one of the two lies below need no rule of their own.
"""

from __future__ import annotations

import numpy as np

BLEND = 0.2  # Beta(a, a) of the share: mostly near 0 or 1, as mixup's authors have it
CUT = 1.0  # any size of patch alike, as CutMix's authors have it


def mix(
    pictures: np.ndarray, often: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mix a share ``often`` of a batch's pictures with others of it, half blended, half pasted.

    ``(n, height, width, 3)`` uint8; returns pictures of the same shape, the ``(n,)`` numbers of the
    partners, and ``(n,)`` float32 the share (0 to 1) that is still the picture's own.
    """
    count = len(pictures)
    partners = random.permutation(count)
    mixed, own = pictures.copy(), np.ones(count, np.float32)
    for number in np.flatnonzero(random.random(count) < often):
        first, second = pictures[number], pictures[partners[number]]
        if random.random() < 0.5:
            mixed[number], own[number] = _blend(first, second, random)
        else:
            mixed[number], own[number] = _paste(first, second, random)
    return mixed, partners, own


def _blend(
    first: np.ndarray, second: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    share = float(random.beta(BLEND, BLEND))
    blended = first * np.float32(share) + second * np.float32(1 - share)
    return np.rint(blended).astype(np.uint8), share


def _paste(
    first: np.ndarray, second: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """A patch of the second, anywhere, over the first; it may be cut by the frame."""
    height, width = first.shape[:2]
    side = np.sqrt(1 - random.beta(CUT, CUT))
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
