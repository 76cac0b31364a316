"""Draw docs/drawings.png, the picture in the README: ``make readme-picture``.

One drawing per label (never a photograph), with the label, the confidence and the review mark that
the shipped bundle gives it.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "drawings.png"
LABELS = "labels"  # the text chunk of the PNG that names them, one per line
COLUMNS = 6
CELL = (180, 176)  # pixels, width and height
THUMBNAIL = (90, 120)
TEXT, FAINT, REVIEW = (32, 32, 32), (110, 110, 110), (176, 80, 0)
COLOURS = 64  # of the PNG's palette: a third of the bytes


def contact_sheet(seed: int = 0) -> tuple[Image.Image, list[str]]:
    """A sheet of labelled drawings, one per label, as an RGB image; and their labels."""
    from cascade.classifier import Cascade
    from cascade.drawings import LEAVES, render
    from cascade.pictures.decode import decode

    cascade = Cascade.load()
    drawings = [render(leaf, seed) for leaf in LEAVES]
    pixels = []
    for drawing in drawings:
        file = io.BytesIO()
        drawing.save(file, "PNG")
        tensor = decode(file.getvalue(), cascade.preprocessing)
        assert isinstance(tensor, np.ndarray), tensor
        pixels.append(tensor)
    rows = -(-len(drawings) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL[0], rows * CELL[1]), "white")
    pen = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(12), ImageFont.load_default(11)
    predictions = cascade.classify(np.stack(pixels))
    for number, (drawing, prediction) in enumerate(zip(drawings, predictions, strict=True)):
        left, top = number % COLUMNS * CELL[0], number // COLUMNS * CELL[1]
        centre = left + CELL[0] // 2
        drawing.thumbnail(THUMBNAIL)
        sheet.paste(drawing, (centre - drawing.width // 2, top + 8))
        pen.text((centre, top + 136), prediction.label, TEXT, font, anchor="ma")
        review = prediction.needs_review
        under = f"{prediction.confidence:.2f}" + (" · needs review" if review else "")
        pen.text((centre, top + 153), under, REVIEW if review else FAINT, small, anchor="ma")
    return sheet, [prediction.label for prediction in predictions]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sheet, labels = contact_sheet()
    text = PngInfo()
    text.add_text(LABELS, "\n".join(labels))
    small = sheet.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(PICTURE, optimize=True, pnginfo=text)
