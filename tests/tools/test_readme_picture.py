"""The picture in the README shows what the shipped bundle says of the drawings today."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageChops, ImageStat

from tools.readme_picture import LABELS, PICTURE, contact_sheet

ROOT = Path(__file__).parents[2]


def test_the_picture_is_what_its_command_draws() -> None:
    assert f"]({PICTURE.relative_to(ROOT)})" in (ROOT / "README.md").read_text(encoding="utf-8")
    drawn, labels = contact_sheet()
    with Image.open(PICTURE) as kept:
        assert kept.info[LABELS].splitlines() == labels, "stale: run `make readme-picture`"
        assert kept.size == drawn.size
        apart = ImageChops.difference(kept.convert("RGB"), drawn)
    # of 255: the palette, and another version's font, differ a little
    assert max(ImageStat.Stat(apart).mean) < 2.0
