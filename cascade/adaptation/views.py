"""Shows a corrected picture as a shop could have shown it: mirrored, framed and lit otherwise.

A few hundred corrections are few for hundreds of features. Each of these views has the same label,
so heads that are fitted to them heed less how a picture happens to be framed.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

# size beside the original, and the shift to the right and down as shares of width and height
FRAMINGS = ((1.15, 0.05, 0.05), (1.15, -0.05, -0.05), (0.87, 0.0, 0.0))
DARKER = 0.85
LIFTED = 10  # of 255, after darkening: less contrast
GROUND = (255, 255, 255)


def other_views(pixels: np.ndarray) -> list[np.ndarray]:
    """Five other views of ``(N, height, width, 3)`` uint8 pictures, each of the same shape."""
    dull = np.clip(pixels.astype(np.float32) * DARKER + LIFTED, 0, 255).astype(np.uint8)
    framed = [
        np.stack([_framed(each, *framing) for each in pixels]) if len(pixels) else pixels
        for framing in FRAMINGS
    ]
    return [np.ascontiguousarray(pixels[:, :, ::-1]), *framed, dull]


def _framed(pixels: np.ndarray, size: float, right: float, down: float) -> np.ndarray:
    """A picture at another size and place; what is not covered is white."""
    height, width = pixels.shape[:2]
    left, top = width * (0.5 + right - 0.5 / size), height * (0.5 + down - 0.5 / size)
    moved = Image.fromarray(pixels).transform(
        (width, height),
        Image.Transform.AFFINE,
        (1 / size, 0, left, 0, 1 / size, top),
        Image.Resampling.BICUBIC,
        fillcolor=GROUND,
    )
    return np.asarray(moved)
