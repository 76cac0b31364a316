"""Draws open and light shoes from the side, with the toe at the left and the ground at y = 0."""

from __future__ import annotations

from cascade.drawings.pen import Colour, Pen, Point, shade, vary
from cascade.drawings.shoes import BRIGHT, LEATHERS

DRESSY = ((20, 18, 20), (170, 20, 35), (215, 175, 140), (60, 40, 90), (200, 160, 60))


def sandals(pen: Pen, *, female: bool) -> None:
    """A footbed with gaps between its straps; women's straps are thin, men's broad."""
    rng = pen.rng
    strap = vary(rng, rng.choice(DRESSY if female else LEATHERS))
    bed = vary(rng, (176, 134, 92))
    thick = rng.uniform(0.08, 0.12) if female else rng.uniform(0.16, 0.22)
    rise = rng.choice((0.0, 0.0, 0.25)) if female else 0.0
    width = rng.uniform(0.05, 0.08) if female else rng.uniform(0.12, 0.16)
    back = thick + rise
    high = back + (0.52 if female else 0.50)
    if rise:
        block = [(0.55, rise * 0.9), (0.98, rise + 0.05), (0.92, 0), (0.66, 0)]
        pen.fill(block, shade(bed, 0.6), smooth=False)
    far = shade(strap, 0.5)  # the far side of the straps
    pen.line([(0.42, back), (0.55, high - 0.1), (0.72, high + 0.04)], far, width * 0.8)
    pen.line([(-0.35, thick), (-0.42, thick + 0.2), (-0.55, thick + 0.3)], far, width)
    bottom: list[Point] = [
        (-1.0, thick * 0.4),
        (-0.98, thick),
        (-0.4, thick + 0.02),
        (0.2, thick + 0.5 * rise),
        (0.96, back + 0.03),
        (1.0, thick * 0.5 + rise),
        (0.9, rise),
        (0.3, 0.35 * rise),
        (-0.4, 0.0),
        (-0.9, 0.0),
    ]
    pen.fill(bottom, bed)
    tread = [(-0.96, thick * 0.3), (-0.2, thick * 0.25), (0.95, thick * 0.3 + rise)]
    pen.line(tread, shade(bed, 0.55), thick * 0.35)
    for place in (-0.72, -0.30) if rng.random() < 0.6 else (-0.55,):
        _band(pen, place, thick * 0.7, width, strap)
    around: list[Point] = [
        (0.24, thick + 0.5 * rise - 0.02),
        (0.36, high - 0.08),
        (0.66, high + 0.03),
        (0.95, high - 0.04),
        (0.96, back - 0.02),
    ]
    pen.line(around, strap, width)
    pen.disc((0.42, high - 0.03), (width * 0.55, width * 0.55), (205, 180, 110))


def _band(pen: Pen, x: float, low: float, width: float, colour: Colour) -> None:
    """The near side of a strap over the toes, inclined towards the heel."""
    edge: list[Point] = [
        (x - width, low),
        (x - width * 0.6, low + 0.22),
        (x + 0.06, low + 0.37),
        (x + 0.20 + width, low + 0.36),
        (x + 0.10 + width * 1.2, low + 0.2),
        (x + 0.06 + width, low),
    ]
    pen.fill(edge, colour)
    pen.line(edge[:4], shade(colour, 0.7), 0.015)


def high_heels(pen: Pen) -> None:
    """A pump with a thin high heel, sometimes with an ankle strap."""
    rng = pen.rng
    colour = vary(rng, rng.choice(DRESSY))
    heel = rng.uniform(0.75, 1.0)
    right: list[Point] = [(0.99, heel + 0.08), (0.93, heel * 0.5), (0.90, 0.0)]
    left: list[Point] = [(0.83, 0.0), (0.83, heel * 0.5), (0.72, heel + 0.02)]
    pen.fill([*right, *left], shade(colour, 0.8), smooth=False)
    front: list[Point] = [(-1.0, 0.03), (-0.97, 0.13), (-0.78, 0.22), (-0.55, 0.26), (-0.30, 0.26)]
    collar: list[Point] = [(0.1, 0.42), (0.5, heel + 0.02), (0.8, heel + 0.32), (0.97, heel + 0.38)]
    back: list[Point] = [(1.0, heel + 0.2), (0.97, heel), (0.6, heel * 0.8), (0.2, heel * 0.38)]
    bottom: list[Point] = [(-0.2, 0.08), (-0.5, 0.02), (-0.8, 0.0)]
    far: list[Point] = [(-0.5, 0.24), (0.1, 0.52), (0.55, heel + 0.15), (0.9, heel + 0.36)]
    pen.fill([*far, (0.5, heel - 0.05), (0.0, 0.30)], shade(colour, 0.5))
    pen.fill([*front, *collar, *back, *bottom], colour)
    sole: list[Point] = [(-0.98, 0.02), (-0.5, 0.01), (-0.2, 0.06), (0.2, heel * 0.37)]
    pen.line([*sole, (0.6, heel * 0.79), (0.96, heel)], shade(colour, 0.5), 0.03)
    if rng.random() < 0.3:
        high = heel + 0.55
        pen.line([(0.45, high), (0.7, high + 0.07), (0.98, high)], colour, 0.05)
        pen.line([(0.98, high), (0.98, heel + 0.3)], colour, 0.06)


def ballerina(pen: Pen) -> None:
    """Flat, low, open to the toes, with a bow."""
    rng = pen.rng
    colour = vary(rng, rng.choice(DRESSY + BRIGHT))
    inside = shade((225, 195, 165), rng.uniform(0.8, 1.0))
    pen.fill(
        [(-0.55, 0.26), (0.0, 0.30), (0.6, 0.33), (0.92, 0.42), (0.6, 0.15), (-0.4, 0.15)], inside
    )
    upper: list[Point] = [
        (-1.0, 0.04),
        (-0.99, 0.16),
        (-0.85, 0.27),
        (-0.62, 0.30),
        (-0.45, 0.20),
        (0.0, 0.16),
        (0.45, 0.20),
        (0.78, 0.36),
        (0.95, 0.44),
        (0.99, 0.30),
        (0.97, 0.05),
        (0.4, 0.03),
        (-0.5, 0.03),
    ]
    pen.fill(upper, colour)
    pen.line([(-0.98, 0.03), (0.0, 0.02), (0.96, 0.03)], shade(colour, 0.4), 0.05)
    pen.line(
        [(-0.62, 0.29), (-0.45, 0.20), (0.0, 0.16), (0.45, 0.20), (0.78, 0.36)],
        shade(colour, 0.65),
        0.025,
    )
    for side in (-1, 1):
        x = -0.62
        pen.fill([(x, 0.30), (x + side * 0.14, 0.40), (x + side * 0.15, 0.25)], shade(colour, 0.75))
    pen.disc((-0.62, 0.31), (0.035, 0.035), shade(colour, 0.55))


def slippers(pen: Pen) -> None:
    """Women's other shoes: a mule, open at the heel."""
    rng = pen.rng
    colour = vary(rng, rng.choice(BRIGHT + DRESSY))
    heel = rng.choice((0.05, 0.2, 0.3))
    if heel > 0.1:
        pen.fill(
            [(0.60, heel), (0.98, heel + 0.05), (0.95, 0.0), (0.66, 0.0)],
            shade(colour, 0.6),
            smooth=False,
        )
    bed: list[Point] = [
        (-1.0, 0.02),
        (-1.0, 0.10),
        (-0.3, 0.12),
        (0.3, heel * 0.7 + 0.08),
        (0.98, heel + 0.10),
        (1.0, heel + 0.02),
        (0.6, heel - 0.02),
        (0.1, heel * 0.4),
        (-0.4, 0.0),
    ]
    pen.fill(bed, (205, 180, 150))
    pen.line(
        [(-0.98, 0.02), (-0.3, 0.02), (0.2, heel * 0.5 + 0.01), (0.98, heel + 0.03)],
        shade(colour, 0.5),
        0.05,
    )
    cover: list[Point] = [
        (-0.99, 0.08),
        (-0.97, 0.26),
        (-0.70, 0.42),
        (-0.30, 0.52),
        (0.05, 0.50),
        (0.02, 0.12),
        (-0.5, 0.09),
    ]
    pen.fill(cover, colour)
    pen.line([(0.05, 0.50), (0.03, 0.30), (0.02, 0.13)], shade(colour, 0.7), 0.04)
    for _ in range(6):  # fluff
        x = rng.uniform(-0.7, -0.2)
        pen.disc((x, 0.38 + rng.uniform(-0.06, 0.06)), (0.08, 0.06), shade(colour, 1.15))


def clogs(pen: Pen) -> None:
    """Men's other shoes: a moulded clog with holes and a strap at the heel."""
    rng = pen.rng
    colour = vary(rng, rng.choice(((40, 60, 90), (60, 80, 55), (45, 45, 48), (110, 80, 55))))
    body: list[Point] = [
        (-1.0, 0.05),
        (-1.02, 0.25),
        (-0.90, 0.46),
        (-0.55, 0.60),
        (-0.15, 0.62),
        (0.12, 0.50),
        (0.20, 0.28),
        (0.6, 0.22),
        (0.98, 0.32),
        (1.0, 0.18),
        (0.97, 0.0),
        (-0.2, 0.0),
        (-0.9, 0.0),
    ]
    pen.fill([(-0.1, 0.2), (0.1, 0.42), (0.6, 0.34), (0.95, 0.36), (0.9, 0.2)], shade(colour, 0.5))
    pen.fill(body, colour)
    pen.line([(-1.0, 0.14), (0.0, 0.12), (1.0, 0.14)], shade(colour, 0.65), 0.03)
    for x, y in (
        (-0.75, 0.40),
        (-0.55, 0.48),
        (-0.35, 0.52),
        (-0.6, 0.34),
        (-0.4, 0.39),
        (-0.2, 0.42),
    ):
        pen.disc((x, y), (0.045, 0.04), shade(colour, 0.35))
    pen.line([(0.02, 0.42), (0.5, 0.62), (0.98, 0.56), (1.0, 0.40)], shade(colour, 0.85), 0.11)
    pen.disc((0.03, 0.43), (0.07, 0.07), (220, 220, 215))
