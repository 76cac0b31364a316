"""Augmentation: random changes to training pictures, so that the network works on other shops.

Shops differ in framing, pose, background, light and resolution far more than in their articles.
Each change here imitates one such difference. All functions take a decoded ``(height, width, 3)``
uint8 picture with white padding and return the same shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Augmentation:
    """Strength of each change.

    Attributes:
        mirror: Probability of a horizontal flip.
        scale: Smallest and largest zoom factor, drawn log-uniformly.
        stretch: Largest change of the aspect ratio, as a natural logarithm.
        shift: Largest translation, as a share of the width and height.
        rotate_degrees: Two standard deviations of the rotation angle.
        low_resolution: Probability of shrinking the picture and enlarging it again.
        tint: Probability of a colour cast.
        background: Probability of replacing the white background.
        colour_jitter: Probability of changing saturation, brightness and contrast.
        greyscale: Probability, within ``colour_jitter``, of removing all colour.
        erase: Probability of erasing a band at the top or bottom.
    """

    mirror: float = 0.5
    scale: tuple[float, float] = (0.6, 1.35)
    stretch: float = 0.15
    shift: float = 0.12
    rotate_degrees: float = 10.0
    low_resolution: float = 0.3
    tint: float = 0.4
    background: float = 0.15
    colour_jitter: float = 0.8
    greyscale: float = 0.08
    erase: float = 0.2


NO_AUGMENTATION = Augmentation(0, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0)


def augment(pixels: np.ndarray, settings: Augmentation, random: np.random.Generator) -> np.ndarray:
    """A randomly changed copy of a ``(height, width, 3)`` uint8 picture."""
    if settings == NO_AUGMENTATION:
        return pixels
    picture = Image.fromarray(pixels)
    if random.random() < settings.low_resolution:
        picture = _lower_resolution(picture, random)
    picture = _affine(picture, settings, random)
    if random.random() < settings.colour_jitter:
        picture = _jitter_colour(picture, settings, random)
    changed = np.array(picture)
    if random.random() < settings.background:
        changed = _replace_background(changed, random)
    if random.random() < settings.tint:
        shade = random.uniform(0.82, 1.0) * random.uniform(0.93, 1.0, 3)
        changed = (changed * shade.astype(np.float32)).astype(np.uint8)
    if random.random() < settings.erase:
        changed = _erase_band(changed, random)
    return changed


def _lower_resolution(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Shrink and enlarge again, like an enlarged thumbnail."""
    factor = random.uniform(0.3, 0.9)
    small = (round(picture.width * factor), round(picture.height * factor))
    shrunk = picture.resize(small, Image.Resampling.BILINEAR)
    return shrunk.resize(picture.size, Image.Resampling.BICUBIC)


def _affine(
    picture: Image.Image, settings: Augmentation, random: np.random.Generator
) -> Image.Image:
    """Mirror, scale, stretch, rotate and shift in one affine step; new areas are white."""
    low, high = settings.scale
    scale = math.exp(random.uniform(math.log(low), math.log(high)))
    stretch = math.exp(random.uniform(-settings.stretch, settings.stretch))
    angle = math.radians(random.normal(0, settings.rotate_degrees / 2))
    flip = -1.0 if random.random() < settings.mirror else 1.0
    dx, dy = random.uniform(-settings.shift, settings.shift, 2) * (picture.width, picture.height)
    # Pillow takes the inverse transform: from new to old pixel positions
    cos, sin = math.cos(angle), math.sin(angle)
    sx, sy = flip / (scale * stretch), stretch / scale
    cx, cy = picture.width / 2, picture.height / 2
    x, y = cx + dx, cy + dy
    across = (sx * cos, sx * sin, cx - sx * (cos * x + sin * y))
    down = (-sy * sin, sy * cos, cy - sy * (cos * y - sin * x))
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        (*across, *down),
        resample=Image.Resampling.BILINEAR,
        fillcolor=WHITE,
    )


def _jitter_colour(
    picture: Image.Image, settings: Augmentation, random: np.random.Generator
) -> Image.Image:
    saturation = 0.0 if random.random() < settings.greyscale else random.uniform(0.5, 1.5)
    picture = ImageEnhance.Color(picture).enhance(saturation)
    picture = ImageEnhance.Brightness(picture).enhance(random.uniform(0.8, 1.15))
    return ImageEnhance.Contrast(picture).enhance(random.uniform(0.75, 1.25))


def _replace_background(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Replace nearly white pixels by a vertical colour gradient."""
    whiteness = np.clip((pixels.min(axis=2).astype(np.float32) - 235) / 15, 0, 1)[..., None]
    top, bottom = random.uniform(90, 255, 3), random.uniform(90, 255, 3)
    ramp = np.linspace(0, 1, pixels.shape[0], dtype=np.float32)[:, None, None]
    gradient = top * (1 - ramp) + bottom * ramp  # (height, 1, 3)
    mixed: np.ndarray = pixels * (1 - whiteness) + gradient * whiteness
    return mixed.astype(np.uint8)


def _erase_band(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Erase a band at the top or bottom: other shops crop the wearer elsewhere."""
    rows = int(pixels.shape[0] * random.uniform(0.05, 0.3))
    shade = 255 if random.random() < 0.7 else int(random.integers(0, 256))
    changed = pixels.copy()
    if random.random() < 0.5:
        changed[:rows] = shade
    else:
        changed[-rows:] = shade
    return changed
