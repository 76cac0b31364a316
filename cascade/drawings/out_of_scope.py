"""Draws out-of-scope pictures: other clothes and accessories, banners, random shapes."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

from cascade.drawings.pen import CANVAS, Pen, Point, curve, shade, vary

COLOURS = (
    (200, 40, 50),
    (40, 90, 170),
    (235, 225, 210),
    (40, 120, 80),
    (30, 30, 35),
    (230, 180, 40),
)
WORDS = ("SALE", "-50%", "NEW", "FREE SHIPPING", "SUMMER", "OUTLET", "NO PHOTO", "COMING SOON")


def shirt(pen: Pen) -> None:
    """A T-shirt from the front."""
    colour = vary(pen.rng, pen.rng.choice(COLOURS))
    long = pen.rng.choice((0.5, 1.3))
    pen.fill(
        [
            (-0.25, 0),
            (-0.7, -0.12),
            (-1.05 - long * 0.15, -0.3 - long),
            (-0.85 - long * 0.1, -0.42 - long),
            (-0.62, -0.6),
            (-0.6, -1.9),
            (0.6, -1.9),
            (0.62, -0.6),
            (0.85 + long * 0.1, -0.42 - long),
            (1.05 + long * 0.15, -0.3 - long),
            (0.7, -0.12),
            (0.25, 0),
        ],
        colour,
        smooth=False,
    )
    pen.fill([(-0.25, 0.02), (-0.12, -0.14), (0.12, -0.14), (0.25, 0.02)], shade(colour, 0.6))
    for side in (-1, 1):
        pen.line([(side * 0.62, -0.6), (side * 0.66, -0.15)], shade(colour, 0.75), 0.02)
    if pen.rng.random() < 0.5:
        pen.disc((0, -0.8), (0.3, 0.3), vary(pen.rng, pen.rng.choice(COLOURS)))


def dress(pen: Pen) -> None:
    """A dress from the front."""
    colour = vary(pen.rng, pen.rng.choice(COLOURS))
    side: list[Point] = [(0.35, 0), (0.42, -0.5), (0.3, -0.95), (0.6, -1.6), (0.8, -2.6)]
    right = curve(side, closed=False)
    pen.fill([*[(-x, y) for x, y in right][::-1], *right], colour, smooth=False)
    pen.fill([(-0.22, 0.03), (0, -0.3), (0.22, 0.03)], (250, 250, 250))
    pen.line([(-0.3, -0.95), (0.3, -0.95)], shade(colour, 0.6), 0.07)
    for x in (-0.3, 0.0, 0.3):
        pen.line([(x * 0.5, -1.05), (x * 1.4, -2.5)], shade(colour, 0.8), 0.02)


def bag(pen: Pen) -> None:
    """A handbag."""
    colour = vary(pen.rng, pen.rng.choice(COLOURS))
    pen.line(
        [(-0.45, 0), (-0.4, 0.55), (0, 0.75), (0.4, 0.55), (0.45, 0)], shade(colour, 0.7), 0.08
    )
    pen.fill([(-0.85, 0.05), (0.85, 0.05), (1.0, -1.0), (-1.0, -1.0)], colour, smooth=False)
    pen.fill(
        [(-0.85, 0.06), (0.85, 0.06), (0.6, -0.45), (0, -0.55), (-0.6, -0.45)],
        shade(colour, 0.82),
        smooth=False,
    )
    pen.disc((0, -0.45), (0.08, 0.08), (215, 185, 100))
    pen.line([(-0.98, -0.95), (0.98, -0.95)], shade(colour, 0.6), 0.03)


def watch(pen: Pen) -> None:
    """A wrist watch."""
    strap = vary(pen.rng, pen.rng.choice(COLOURS))
    case = pen.rng.choice(((190, 190, 195), (205, 170, 90), (50, 50, 52)))
    for side in (-1, 1):
        pen.fill(
            [(-0.36, side * 0.4), (0.36, side * 0.4), (0.28, side * 1.9), (-0.28, side * 1.9)],
            strap,
            smooth=False,
        )
    pen.disc((0.65, 0), (0.09, 0.07), case)
    pen.disc((0, 0), (0.62, 0.62), case)
    pen.disc((0, 0), (0.5, 0.5), pen.rng.choice(((250, 250, 250), (20, 22, 30))))
    hand = (120, 120, 125)
    pen.line([(0, 0), (0.05, 0.36)], hand, 0.04)
    pen.line([(0, 0), (0.24, -0.1)], hand, 0.05)


def hat(pen: Pen) -> None:
    """A brimmed hat."""
    colour = vary(pen.rng, pen.rng.choice(COLOURS))
    pen.disc((0, 0), (1.0, 0.24), shade(colour, 0.85))
    pen.fill(
        [
            (-0.55, 0.02),
            (-0.5, 0.55),
            (-0.2, 0.78),
            (0.2, 0.78),
            (0.5, 0.55),
            (0.55, 0.02),
            (0, -0.08),
        ],
        colour,
    )
    pen.line([(-0.54, 0.12), (0, 0.04), (0.54, 0.12)], shade(colour, 0.4), 0.14)


def ring(pen: Pen) -> None:
    """A ring with a stone."""
    metal = pen.rng.choice(((215, 180, 80), (200, 200, 205)))
    pen.disc((0, 0), (0.8, 0.85), metal, width=0.14)
    pen.fill(
        [(-0.25, 1.1), (0.25, 1.1), (0.4, 0.95), (0, 0.7), (-0.4, 0.95)],
        vary(pen.rng, (150, 200, 230), 50),
        smooth=False,
    )


FIGURES: tuple[Callable[[Pen], None], ...] = (shirt, dress, bag, watch, hat, ring)


def banner(rng: random.Random) -> Image.Image:
    """Words on a coloured background."""
    image = Image.new("RGB", CANVAS, vary(rng, rng.choice(COLOURS)))
    draw = ImageDraw.Draw(image)
    for y in range(20, CANVAS[1] - 50, rng.randint(60, 110)):
        font = ImageFont.load_default(rng.randint(18, 44))
        draw.text((rng.randint(5, 40), y), rng.choice(WORDS), vary(rng, rng.choice(COLOURS)), font)
    if rng.random() < 0.5:
        draw.rectangle((6, 6, CANVAS[0] - 7, CANVAS[1] - 7), outline=(255, 255, 255), width=4)
    return image


def junk(rng: random.Random) -> Image.Image:
    """Random boxes and discs, or one flat colour."""
    image = Image.new("RGB", CANVAS, vary(rng, rng.choice(COLOURS), 40))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.choice((0, 4, 12))):
        x, y = rng.randint(-40, CANVAS[0]), rng.randint(-40, CANVAS[1])
        box = (x, y, x + rng.randint(10, 150), y + rng.randint(10, 150))
        shape = rng.choice((draw.rectangle, draw.ellipse))
        shape(box, fill=vary(rng, rng.choice(COLOURS), 40))
    return image
