"""Collects the shapes of a figure, fits them to a canvas and renders them with shading.

x grows to the right and y upwards, in any unit. The finished figure is scaled to the canvas, so a
shape does not depend on the final position, size or mirroring.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Point = tuple[float, float]
Colour = tuple[int, int, int]
CANVAS = (240, 320)  # pixels
_OVERSAMPLING = 3  # drawn larger and reduced, for smooth edges
_STEPS = 10  # straight segments between two points of a curve


@dataclass(frozen=True, slots=True)
class _Stroke:
    points: tuple[Point, ...]
    colour: tuple[int, int, int, int]
    width: float | None  # in units of the figure; None: filled


class Pen:
    """Collects the strokes of one figure; ``finish`` renders the picture."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._strokes: list[_Stroke] = []

    def fill(
        self, points: Sequence[Point], colour: Colour, *, smooth: bool = True, opacity: int = 255
    ) -> None:
        """A closed area; ``smooth`` rounds it through its points. ``opacity`` 0 to 255."""
        outline = curve(points, closed=True) if smooth else tuple(points)
        self._strokes.append(_Stroke(outline, (*colour, opacity), None))

    def line(
        self, points: Sequence[Point], colour: Colour, width: float, *, smooth: bool = True
    ) -> None:
        """An open line with round ends, ``width`` in units of the figure."""
        path = curve(points, closed=False) if smooth and len(points) > 2 else tuple(points)
        self._strokes.append(_Stroke(path, (*colour, 255), width))

    def outline(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """The border of a smooth closed area."""
        ring = curve(points, closed=True)
        self._strokes.append(_Stroke((*ring, ring[0]), (*colour, 255), width))

    def disc(
        self,
        centre: Point,
        radii: Point,
        colour: Colour,
        *,
        width: float | None = None,
        opacity: int = 255,
    ) -> None:
        """An ellipse, filled, or drawn as a ring of ``width``."""
        ring = ellipse(centre, radii)
        if width is not None:
            ring = (*ring, ring[0], ring[1])
        self._strokes.append(_Stroke(ring, (*colour, opacity), width))

    def finish(self, *, background: Colour, grain: float = 0.0, tilt: float = 3.0) -> Image.Image:
        """Render the figure as RGB of ``CANVAS`` pixels: fitted, perhaps mirrored, lit from a side.

        Args:
            background: Its colour.
            grain: Strength of a woven texture, 0 to 1.
            tilt: The largest rotation, in degrees.
        """
        large = (CANVAS[0] * _OVERSAMPLING, CANVAS[1] * _OVERSAMPLING)
        layer = Image.new("RGBA", large, (*background, 0))
        place, scale = self._placement(large, math.radians(self.rng.uniform(-tilt, tilt)))
        for stroke in self._strokes:
            # One layer each: drawn directly, a translucent stroke would replace those below it.
            over = Image.new("RGBA", large, (*stroke.colour[:3], 0))
            _rasterise(ImageDraw.Draw(over), stroke, [place(p) for p in stroke.points], scale)
            layer = Image.alpha_composite(layer, over)
        figure = self._shade(layer.resize(CANVAS, Image.Resampling.BOX), grain)
        return self._on_background(figure, background)

    def _placement(self, large: Point, angle: float) -> tuple[_AffineMap, float]:
        """The map from the figure to the canvas, and its scale in pixels per unit."""
        mirror = self.rng.choice((-1.0, 1.0))
        cos, sin = math.cos(angle), math.sin(angle)
        turn = _AffineMap(mirror * cos, -sin, mirror * sin, cos, 0.0, 0.0)
        turned = [turn(point) for stroke in self._strokes for point in stroke.points]
        left, right = min(x for x, _ in turned), max(x for x, _ in turned)
        low, high = min(y for _, y in turned), max(y for _, y in turned)
        part = self.rng.uniform(0.80, 0.94)
        scale = part * min(large[0] / (right - left), large[1] / (high - low))
        spare_x, spare_y = large[0] - scale * (right - left), large[1] - scale * (high - low)
        x0 = spare_x * self.rng.uniform(0.3, 0.7) - scale * left
        y0 = spare_y * self.rng.uniform(0.4, 0.6) + scale * high
        a, b, c, d = (scale * part for part in (turn.xx, turn.xy, -turn.yx, -turn.yy))
        return _AffineMap(a, b, c, d, x0, y0), scale

    def _shade(self, layer: Image.Image, grain: float) -> Image.Image:
        """Add light from one side and a woven texture."""
        noise = np.random.default_rng(self.rng.getrandbits(64))
        pixels = np.asarray(layer).astype(np.float32)  # (height, width, 4)
        high, wide = pixels.shape[:2]
        slope = self.rng.uniform(-0.22, 0.22)
        light = (
            1 + slope * np.linspace(-1, 1, wide)[None, :] - 0.08 * np.linspace(-1, 1, high)[:, None]
        )
        weave = 1 + grain * 0.25 * noise.standard_normal((high, wide))
        pixels[..., :3] *= (light * weave)[..., None]
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    def _on_background(self, figure: Image.Image, background: Colour) -> Image.Image:
        """Put the figure on the background, with a soft shadow."""
        alpha = figure.getchannel("A")
        soft = alpha.filter(ImageFilter.GaussianBlur(self.rng.uniform(2, 7)))
        strength = self.rng.uniform(0.0, 0.35)
        ground = Image.new("RGB", CANVAS, background)
        shadow = Image.new("L", CANVAS, 0)
        shadow.paste(soft.point(lambda value: int(value * strength)), (0, self.rng.randint(1, 6)))
        ground.paste((90, 90, 95), mask=shadow)
        ground.paste(figure, mask=alpha)
        return ground


@dataclass(frozen=True, slots=True)
class _AffineMap:
    """An affine map of the plane."""

    xx: float
    xy: float
    yx: float
    yy: float
    x0: float
    y0: float

    def __call__(self, point: Point) -> Point:
        x, y = point
        return self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0


def _rasterise(
    draw: ImageDraw.ImageDraw, stroke: _Stroke, points: list[Point], scale: float
) -> None:
    if stroke.width is None:
        draw.polygon(points, fill=stroke.colour)
        return
    width = max(1, round(stroke.width * scale))
    draw.line(points, fill=stroke.colour, width=width, joint="curve")
    radius = width / 2
    for x, y in (points[0], points[-1]):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=stroke.colour)


def curve(points: Sequence[Point], *, closed: bool) -> tuple[Point, ...]:
    """A Catmull-Rom spline through the points."""
    count = len(points)
    spans = count if closed else count - 1
    path: list[Point] = []
    for i in range(spans):
        if closed:
            a, b, c, d = (points[(i + k) % count] for k in (-1, 0, 1, 2))
        else:
            a, b, c, d = (points[min(max(i + k, 0), count - 1)] for k in (-1, 0, 1, 2))
        path += [_between(a, b, c, d, step / _STEPS) for step in range(_STEPS)]
    if not closed:
        path.append(points[-1])
    return tuple(path)


def _between(a: Point, b: Point, c: Point, d: Point, t: float) -> Point:
    def along(p: float, q: float, r: float, s: float) -> float:
        return 0.5 * (
            2 * q
            + (r - p) * t
            + (2 * p - 5 * q + 4 * r - s) * t * t
            + (3 * q - p - 3 * r + s) * t * t * t
        )

    return along(a[0], b[0], c[0], d[0]), along(a[1], b[1], c[1], d[1])


def ellipse(centre: Point, radii: Point, power: float = 2.0) -> tuple[Point, ...]:
    """The border of an ellipse; a ``power`` above 2 makes a superellipse, which is squarer."""
    points = []
    for step in range(48):
        angle = 2 * math.pi * step / 48
        cos, sin = math.cos(angle), math.sin(angle)
        x = math.copysign(abs(cos) ** (2 / power), cos)
        y = math.copysign(abs(sin) ** (2 / power), sin)
        points.append((centre[0] + radii[0] * x, centre[1] + radii[1] * y))
    return tuple(points)


def shade(colour: Colour, factor: float) -> Colour:
    """A darker (factor below 1) or lighter colour."""
    red, green, blue = (max(0, min(255, round(part * factor))) for part in colour)
    return red, green, blue


def vary(rng: random.Random, colour: Colour, by: int = 16) -> Colour:
    """A slightly different colour: up to ``by`` lighter or darker, and a small change of hue."""
    light = rng.randint(-by, by)
    red, green, blue = (max(0, min(255, part + light + rng.randint(-4, 4))) for part in colour)
    return red, green, blue
