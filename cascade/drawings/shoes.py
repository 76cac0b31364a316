"""Draws shoes from the side, with the toe at the left: x from -1 to 1, the ground at y = 0."""

from __future__ import annotations

from cascade.drawings.pen import Colour, Pen, Point, shade, vary

LEATHERS = ((30, 27, 26), (85, 52, 32), (120, 72, 40), (50, 34, 28), (60, 60, 65))
BRIGHT = ((230, 120, 150), (240, 200, 205), (120, 190, 215), (215, 60, 70), (235, 230, 220))
BOLD = ((40, 45, 55), (30, 70, 140), (120, 125, 130), (160, 30, 35), (235, 235, 232), (45, 80, 55))


def boots(pen: Pen, *, female: bool) -> None:
    """Women's boots are tall, often with a heel; men's are short, laced, with a thick sole."""
    rng = pen.rng
    leather = vary(rng, rng.choice(LEATHERS))
    heel = rng.choice((0.12, 0.35, 0.45)) if female else rng.uniform(0.12, 0.18)
    top = rng.uniform(1.5, 2.6) if female else rng.uniform(1.25, 1.6)
    thick = 0.06 if female else rng.uniform(0.12, 0.18)
    _sole(pen, heel, thick, (35, 30, 28), block=0.30 if female else 0.55)
    toe = 0.34 if female else 0.46
    wide = rng.uniform(0.0, 0.08)
    upper: list[Point] = [
        (-1.0, thick),
        (-0.96, thick + toe * 0.7),
        (-0.70, thick + toe),
        (-0.30, thick + toe + 0.10),
        (-0.02, heel + 0.62),
        (0.05 - wide / 2, heel + 0.95),
        (0.0 - wide, top),
        (0.92 + wide, top),
        (0.90, heel + 0.75),
        (0.98, heel + 0.35),
        (0.95, heel),
        (0.66, heel),
        (0.30, (heel + thick) / 2 - 0.02),
        (0.0, thick),
        (-0.5, thick),
    ]
    pen.fill([*upper[:6], (0.0 - wide, top), (0.92 + wide, top), *upper[8:]], leather, smooth=True)
    pen.fill(
        [(-wide, top - 0.05), (0.92 + wide, top - 0.05), (0.92 + wide, top), (-wide, top)],
        shade(leather, 0.6),
        smooth=False,
    )
    pen.line(
        [(-0.70, thick + 0.06), (-0.2, thick + 0.14), (0.35, heel + 0.06)],
        shade(leather, 0.7),
        0.02,
    )
    if female:
        pen.line([(0.50, heel + 0.25), (0.46, top - 0.08)], shade(leather, 0.5), 0.025)
    else:
        _laces(pen, (-0.30, thick + toe + 0.08), (0.0, top - 0.15), 6, (215, 195, 150))
        pen.line(
            [(0.30, heel + 0.1), (0.40, heel + 0.6), (0.38, top - 0.1)], shade(leather, 0.65), 0.02
        )


def sneakers(pen: Pen, *, female: bool) -> None:
    """Sneakers with a thick light sole, laces and a stripe."""
    rng = pen.rng
    cloth = vary(rng, rng.choice(BRIGHT if female else BOLD))
    sole = vary(rng, (238, 238, 234), 8)
    accent = vary(rng, rng.choice(BOLD if female else BRIGHT))
    thick = rng.uniform(0.12, 0.17) if female else rng.uniform(0.18, 0.26)
    high = 0.72 if female else 0.80
    upper: list[Point] = [
        (-0.97, thick - 0.03),
        (-0.96, thick + 0.16),
        (-0.78, thick + 0.27),
        (-0.40, thick + 0.36),
        (0.02, high),
        (0.14, high + 0.10),
        (0.30, high - 0.06),
        (0.60, high - 0.12),
        (0.84, high + 0.06),
        (0.97, high + 0.05),
        (0.96, high - 0.3),
        (0.97, thick - 0.03),
    ]
    pen.fill(
        [(0.1, high - 0.1), (0.2, high + 0.04), (0.75, high + 0.02), (0.9, high - 0.1)],
        shade(cloth, 0.45),
    )
    pen.fill([*upper, (0.0, thick - 0.03)], cloth)
    pen.fill(
        [(-0.96, thick), (-0.93, thick + 0.16), (-0.72, thick + 0.24), (-0.60, thick)],
        shade(cloth, 0.82),
    )
    pen.fill([(0.72, thick), (0.80, high - 0.25), (0.95, high - 0.2), (0.96, thick)], accent)
    pen.line([(-0.35, thick + 0.08), (0.05, thick + 0.14), (0.62, high - 0.28)], accent, 0.07)
    if rng.random() < 0.5:
        pen.line([(-0.15, thick + 0.06), (0.1, thick + 0.3)], accent, 0.06)
    _laces(pen, (-0.46, thick + 0.33), (0.0, high - 0.02), 5, (250, 250, 248))
    front: list[Point] = [(-0.6, 0.0), (-0.93, 0.06), (-1.02, thick * 0.7), (-0.98, thick + 0.04)]
    back: list[Point] = [(0.3, thick), (0.98, thick + 0.05), (1.03, thick * 0.5), (0.95, 0.0)]
    bottom = [*front, (-0.4, thick - 0.01), *back]
    pen.fill(bottom, sole)
    pen.outline(bottom, shade(sole, 0.78), 0.012)
    pen.line(
        [(-0.98, thick * 0.5), (0.0, thick * 0.4), (1.0, thick * 0.5)], shade(sole, 0.8), 0.015
    )


def formal(pen: Pen) -> None:
    """A laced leather shoe with a low heel block."""
    rng = pen.rng
    leather = vary(rng, rng.choice(LEATHERS[:4]), 10)
    _sole(pen, 0.14, 0.05, (28, 24, 22), block=0.45)
    upper: list[Point] = [
        (-1.04, 0.05),
        (-1.0, 0.16),
        (-0.75, 0.27),
        (-0.35, 0.38),
        (-0.02, 0.58),
        (0.12, 0.64),
        (0.25, 0.56),
        (0.55, 0.50),
        (0.85, 0.56),
        (0.95, 0.54),
        (0.96, 0.14),
        (0.35, 0.12),
        (0.0, 0.05),
    ]
    pen.fill([(0.1, 0.5), (0.2, 0.6), (0.8, 0.58), (0.9, 0.45)], shade(leather, 0.4))
    pen.fill(upper, leather)
    pen.fill(
        [(-0.92, 0.16), (-0.72, 0.24), (-0.5, 0.29), (-0.6, 0.22)], (255, 255, 255), opacity=60
    )
    pen.line([(-0.62, 0.07), (-0.55, 0.2), (-0.52, 0.32)], shade(leather, 0.55), 0.022)
    pen.line([(-0.42, 0.34), (-0.1, 0.24), (0.3, 0.22), (0.5, 0.46)], shade(leather, 0.55), 0.022)
    pen.line([(0.62, 0.14), (0.66, 0.5)], shade(leather, 0.55), 0.02)
    _laces(pen, (-0.30, 0.38), (0.06, 0.58), 4, shade(leather, 0.5))


def _sole(pen: Pen, heel: float, thick: float, colour: Colour, *, block: float) -> None:
    """A flat sole in front, a heel of height ``heel`` over the last ``block`` of the length."""
    back = 0.98
    pen.fill(
        [
            (-1.03, thick * 0.4),
            (-1.0, thick + 0.02),
            (0.0, thick + 0.02),
            (back - block, heel + 0.01),
            (back, heel + 0.01),
            (back, heel - thick),
            (back - block, heel - thick),
            (-0.05, 0.0),
            (-0.9, 0.0),
        ],
        colour,
        smooth=False,
    )
    pen.fill(
        [(back - block, heel), (back, heel), (back - 0.02, 0.0), (back - block * 0.9, 0.0)],
        colour,
        smooth=False,
    )


def _laces(pen: Pen, low: Point, high: Point, count: int, colour: Colour) -> None:
    """Short bars across the line from ``low`` to ``high``."""
    along = (high[0] - low[0], high[1] - low[1])
    length = (along[0] ** 2 + along[1] ** 2) ** 0.5
    across = (along[1] / length * 0.11, -along[0] / length * 0.11)
    for step in range(count):
        t = (step + 0.5) / count
        x, y = low[0] + t * along[0], low[1] + t * along[1]
        pen.line(
            [(x - across[0] * 0.3, y - across[1] * 0.3), (x + across[0], y + across[1])],
            colour,
            0.035,
        )
