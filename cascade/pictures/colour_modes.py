"""Converts a decoded picture of any colour mode to 8-bit RGB or greyscale."""

from __future__ import annotations

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels

# Pillow modes that can be converted. The others have no defined conversion: floating point without
# a range, CIE Lab without a profile.
MODES = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr"}
    | {"I", "I;16", "I;16L", "I;16B", "I;16N"}
)
# A picture with more pixels than this is converted and averaged strip by strip, because copies of
# the full picture would take ten times the memory. A smaller picture is averaged only once.
_STRIPS_ABOVE = 4_000_000
_STRIP_PIXELS = 1_000_000


def flatten(
    image: Image.Image, box: Box, target: tuple[int, int], background: tuple[int, int, int]
) -> tuple[Image.Image, Box]:
    """Convert to RGB or L, with transparent pixels on ``background``.

    A very large picture is also averaged over squares of pixels. It stays at least twice as large
    as ``target``, so that the filter of the final resize still works.

    Args:
        image: The decoded picture; its mode is one of ``MODES``.
        box: The part that holds the picture, in pixels of ``image``.
        target: Width and height of the final resize.
        background: RGB, 0 to 255.

    Returns:
        The picture, and ``box`` in its pixels.
    """
    factor = min(image.width // (2 * target[0]), image.height // (2 * target[1]))
    if image.width * image.height <= _STRIPS_ABOVE or factor < 2:
        return _flat(image, background), box
    rows = factor * max(1, _STRIP_PIXELS // (image.width * factor))
    reduced: Image.Image | None = None
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        part = _flat(strip, background).reduce(factor)
        if reduced is None:
            reduced = Image.new(part.mode, (part.width, -(-image.height // factor)))
        reduced.paste(part, (0, top // factor))
    assert reduced is not None  # a decoded picture has at least one row
    left, upper, right, lower = box
    return reduced, (left / factor, upper / factor, right / factor, lower / factor)


def _flat(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_16_bit(image, background)
    if image.has_transparency_data:
        # convert("RGB") would show the hidden colours of transparent pixels
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", rgba.size, background)
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return flat
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _from_16_bit(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The high byte of 16-bit greyscale. Pillow would clip every value above 255 to white."""
    values = np.asarray(image)
    high = Image.fromarray((np.clip(values, 0, 65535) >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return high
    flat = high.convert("RGB")
    flat.paste(background, mask=Image.fromarray(np.uint8(255) * (values == transparent)))
    return flat
