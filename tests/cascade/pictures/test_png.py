"""PNGs whose texts, profiles and gammas are damaged or large: browsers show them, and so do we."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from cascade.pictures import png
from cascade.pictures.decode import Preprocessing, Rejected, decode
from tests.pictures import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    YELLOW,
    Colour,
    encoded,
    exif,
    png_chunk,
    quadrants,
    rgba_picture,
)

PLAIN = encoded(quadrants(), "PNG")
BEFORE_PIXELS = PLAIN.index(b"IDAT") - 4
BEFORE_END = PLAIN.index(b"IEND") - 4
LARGE = 5_000_000


def damaged(chunk: bytes) -> bytes:
    """The chunk with a wrong checksum."""
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


CHUNKS = {
    "profile that is not compressed": png_chunk(b"iCCP", b"profile\0\0not zlib at all"),
    "profile without a name": png_chunk(b"iCCP", b""),
    "profile of a large size": png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(LARGE))),
    "profile, wrong checksum": damaged(png_chunk(b"iCCP", b"p\0\0" + zlib.compress(b"profile"))),
    "compressed text, damaged": png_chunk(b"zTXt", b"Comment\0\0\xff\xff"),
    "compressed text, large": png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(LARGE))),
    "compressed text, unknown method": png_chunk(b"zTXt", b"Comment\0\7abc"),
    "text, wrong checksum": damaged(png_chunk(b"tEXt", b"Comment\0a shoe")),
    "international text, damaged": png_chunk(b"iTXt", b"Comment\0\1\0\0\0\xff\xff"),
    "international text, large": png_chunk(
        b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"a" * LARGE)
    ),
    "gamma, too short": png_chunk(b"gAMA", b"\0"),
    "gamma, wrong checksum": damaged(png_chunk(b"gAMA", struct.pack(">I", 45455))),
    "resolution, too short": png_chunk(b"pHYs", b"\0\0"),
    "rendering intent, empty": png_chunk(b"sRGB", b""),
    "chromaticities, too short": png_chunk(b"cHRM", b"\0\0\0"),
    "animation, too short": png_chunk(b"acTL", b"\0"),
    "transparency, too short": png_chunk(b"tRNS", b"\0"),
    "orientation, wrong checksum": damaged(png_chunk(b"eXIf", exif(3)[6:])),
    "unknown": png_chunk(b"shOp", b"a" * 100),
}


def assert_quadrants(data: bytes, colours: tuple[Colour, ...]) -> None:
    found = decode(data, Preprocessing())
    assert isinstance(found, np.ndarray), found
    for (row, column), colour in zip(
        ((30, 22), (30, 67), (90, 22), (90, 67)), colours, strict=True
    ):
        assert tuple(found[row, column]) == colour


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("place", [BEFORE_PIXELS, BEFORE_END])
def test_chunk_that_the_pixels_do_not_need_is_passed_over(name: str, place: int) -> None:
    data = PLAIN[:place] + CHUNKS[name] + PLAIN[place:]
    assert_quadrants(data, (RED, GREEN, BLUE, YELLOW))


def test_text_cut_off_after_the_pixels() -> None:
    data = PLAIN[:BEFORE_END] + png_chunk(b"tEXt", b"Comment\0" + b"a" * 1000)[:100]
    assert_quadrants(data, (RED, GREEN, BLUE, YELLOW))


def test_orientation_and_transparency_are_kept() -> None:
    turned = PLAIN[:BEFORE_END] + png_chunk(b"eXIf", exif(3)[6:]) + PLAIN[BEFORE_END:]
    assert_quadrants(turned, (YELLOW, BLUE, GREEN, RED))
    assert_quadrants(encoded(rgba_picture(), "PNG"), (WHITE, WHITE, GREEN, GREEN))
    keyed = png_chunk(b"tRNS", struct.pack(">HHH", *RED))
    data = PLAIN[:BEFORE_PIXELS] + keyed + CHUNKS["unknown"] + PLAIN[BEFORE_PIXELS:]
    assert_quadrants(data, (WHITE, GREEN, BLUE, YELLOW))


def test_plain_picture_is_not_copied() -> None:
    assert png.essential(PLAIN) is PLAIN


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT"])
def test_damaged_pixels_are_still_refused(name: bytes) -> None:
    at = PLAIN.index(name) + 6
    data = PLAIN[:at] + bytes([PLAIN[at] ^ 0xFF]) + PLAIN[at + 1 :]
    assert isinstance(decode(data, Preprocessing()), Rejected)


def test_palette_picture_without_a_palette_is_unsupported() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 90, 120, 8, 3, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(91 * 120)))
    result = decode(PLAIN[:8] + header + pixels + png_chunk(b"IEND", b""), Preprocessing())
    assert isinstance(result, Rejected)
    assert result.reason == "unsupported"


def test_number_of_chunks_is_limited() -> None:
    data = PLAIN[:BEFORE_PIXELS] + png_chunk(b"IDAT", b"") * 300_000 + PLAIN[BEFORE_PIXELS:]
    result = decode(data, Preprocessing())
    assert isinstance(result, Rejected)
    assert result.reason == "too_large"
