"""Draws glasses and trousers."""

from __future__ import annotations

import random

from cascade.drawings.pen import Colour, Pen, Point, curve, ellipse, shade, vary

FRAME_COLOURS = (
    (25, 22, 22),
    (60, 35, 20),
    (140, 20, 30),
    (30, 40, 80),
    (150, 150, 155),
    (180, 140, 70),
)
CLOTHS = ((25, 25, 28), (70, 72, 78), (165, 140, 100), (80, 82, 55), (40, 45, 75), (205, 195, 175))
TINTS = ((28, 26, 28), (60, 40, 25), (30, 45, 40), (40, 40, 70))  # of sunglasses
DENIMS = ((55, 85, 140), (35, 55, 95), (110, 145, 190), (75, 105, 150), (30, 35, 55))


def glasses(pen: Pen, *, dark: bool) -> None:
    """Glasses from the front: two lenses, a bridge, the ends of the temples."""
    rng = pen.rng
    frame = vary(rng, rng.choice(FRAME_COLOURS))
    thickness = rng.uniform(0.05, 0.13) if dark else rng.uniform(0.025, 0.09)
    half_w, half_h = rng.uniform(0.40, 0.47), rng.uniform(0.26, 0.42)
    power = rng.choice((2.0, 2.4, 3.2, 4.0))
    apart = half_w + rng.uniform(0.08, 0.13)
    temple = rng.uniform(0.15, 0.5)
    tint = vary(rng, rng.choice(TINTS))
    for side in (-1, 1):
        hinge = (side * (apart + half_w * 0.97), half_h * 0.45)
        behind = (side * (apart + half_w * 0.75), half_h * 0.45 + temple)
        pen.line([hinge, behind], shade(frame, 0.8), thickness * 0.8)
        lens = _lens((side * apart, 0.0), (half_w, half_h), power, side)
        if dark:
            pen.fill(lens, tint, opacity=rng.randint(225, 250))
            top = [(x, y) for x, y in lens if y > half_h * 0.15]
            pen.fill(top, shade(tint, 0.6), smooth=False, opacity=90)
        else:
            pen.fill(lens, (235, 242, 246), opacity=60)
            x = side * apart
            glint = [(x - 0.2, -0.1), (x - 0.05, 0.15), (x + 0.02, 0.15), (x - 0.13, -0.1)]
            pen.fill(glint, (255, 255, 255), smooth=False, opacity=150)
        pen.outline(lens, frame, thickness)
    inner, rise = apart - half_w, half_h * rng.uniform(0.25, 0.5)
    pen.line([(-inner, rise * 0.8), (0, rise * 1.2), (inner, rise * 0.8)], frame, thickness)
    if dark and rng.random() < 0.3:  # the double bridge of an aviator
        pen.line([(-inner * 2, half_h * 0.9), (inner * 2, half_h * 0.9)], frame, thickness * 0.7)


def _lens(centre: Point, radii: Point, power: float, side: int) -> list[Point]:
    """A superellipse, slightly lower at its outer side."""
    ring = ellipse(centre, radii, power)
    return [(x, y + 0.06 * side * (x - centre[0]) * (1 if y > 0 else -0.5)) for x, y in ring]


def trousers(pen: Pen, *, female: bool, jeans: bool) -> None:
    """Trousers from the front. Women's are narrower at the knee, or flared."""
    rng = pen.rng
    colour = vary(rng, rng.choice(DENIMS if jeans else CLOTHS))
    seam = (205, 150, 80) if jeans else shade(colour, 0.65)
    waist = rng.uniform(0.40, 0.46) if female else rng.uniform(0.50, 0.56)
    hip = rng.uniform(0.58, 0.64) if female else rng.uniform(0.58, 0.63)
    length = rng.uniform(2.6, 3.0)
    crotch = -rng.uniform(0.80, 0.95)
    knee, hem = _leg(rng, female=female)
    apart = rng.uniform(0.02, 0.10)
    for side in (-1, 1):
        inner = side * -0.01  # the legs overlap above the crotch
        foot = side * (apart + 0.06)
        leg: list[Point] = [
            (0, 0),
            (side * waist, 0),
            (side * hip, -0.55),
            (side * (0.06 + apart / 2 + knee), -length * 0.58),
            (foot + side * hem, -length),
            (foot, -length),
            (side * (0.05 + apart / 2), -length * 0.58),
            (inner, crotch),
        ]
        pen.fill(_sides(leg), colour, smooth=False)
        pen.line([leg[1], leg[2], leg[3], leg[4]], shade(colour, 0.7), 0.02)
        pen.line([leg[7], leg[6], leg[5]], shade(colour, 0.6), 0.025)
        _surface(pen, side, leg, (colour, seam), jeans=jeans)
        pocket = ((waist * 0.45, -0.14), (waist * 0.55, -0.32), (hip * 0.93, -0.42))
        pen.line([(side * x, y) for x, y in pocket], seam, 0.018)
    _waistband(pen, waist, colour, seam, jeans=jeans)
    pen.line([(0, -0.1), (0, crotch)], seam, 0.016)
    if jeans:
        pen.line([(0.09, -0.12), (0.09, crotch * 0.6), (0.0, crotch * 0.75)], seam, 0.014)


def _surface(
    pen: Pen, side: int, leg: list[Point], colours: tuple[Colour, Colour], *, jeans: bool
) -> None:
    """Add worn denim and an orange hem to jeans, or a pressed crease to trousers."""
    colour, seam = colours
    (hip, _), (outer, low), (inner, _) = leg[2], leg[4], leg[5]
    if jeans:
        worn = ((0.22, -0.75), (0.38, -1.2), (0.30, -1.6), (0.18, -1.2))
        pen.fill([(side * x, y) for x, y in worn], shade(colour, 1.35), opacity=80)
        pen.line([(inner, low + 0.06), (outer, low + 0.06)], seam, 0.015)
    else:
        pen.line([(hip * 0.5, -0.5), ((inner + outer) / 2, low)], seam, 0.014)


def _leg(rng: random.Random, *, female: bool) -> tuple[float, float]:
    """Widths of a leg at the knee and at the hem."""
    if not female:
        return rng.uniform(0.38, 0.46), rng.uniform(0.34, 0.42)
    if rng.random() < 0.5:  # skinny
        return rng.uniform(0.24, 0.29), rng.uniform(0.16, 0.21)
    return rng.uniform(0.25, 0.32), rng.uniform(0.42, 0.55)  # flared


def _sides(leg: list[Point]) -> list[Point]:
    """The outline of a leg: curved sides, straight waist and hem."""
    outer = curve(leg[1:5], closed=False)
    inner = curve(leg[5:], closed=False)
    return [leg[0], *outer, *inner]


def _waistband(pen: Pen, waist: float, colour: Colour, seam: Colour, *, jeans: bool) -> None:
    band = [(-waist, 0.0), (waist, 0.0), (waist * 1.01, -0.13), (-waist * 1.01, -0.13)]
    pen.fill(band, shade(colour, 0.85), smooth=False)
    pen.line([(-waist, -0.13), (waist, -0.13)], seam, 0.015)
    for place in (-0.7, -0.25, 0.3, 0.72):
        pen.line([(waist * place, 0.0), (waist * place, -0.14)], shade(colour, 0.7), 0.035)
    pen.disc((0.03, -0.065), (0.035, 0.035), (190, 150, 90) if jeans else shade(colour, 0.5))
