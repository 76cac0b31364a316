"""Every kind of picture: pixels at positions calculated by hand, or a reason."""

from __future__ import annotations

import dataclasses
import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from cascade.errors import BundleError
from cascade.pictures.decode import REASONS, Preprocessing, Rejected, decode, fit
from tests.pictures import (
    BAD,
    BLACK,
    BLUE,
    GREEN,
    HTML,
    RED,
    SVG,
    WHITE,
    YELLOW,
    Colour,
    encoded,
    exif,
    heic,
    png,
    png_bomb,
    png_chunk,
    quadrants,
    solid,
)

PREPROCESSING = Preprocessing()


def pixels(data: bytes, preprocessing: Preprocessing = PREPROCESSING) -> Any:
    result = decode(data, preprocessing)
    assert isinstance(result, np.ndarray), result
    assert result.shape == (preprocessing.height, preprocessing.width, 3)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    return result


def rejection(data: bytes) -> str:
    result = decode(data, PREPROCESSING)
    assert isinstance(result, Rejected), "accepted"
    assert result.reason in REASONS
    assert result.detail
    return result.reason


def assert_near(found: Any, colour: Colour, tolerance: int = 0) -> None:
    assert np.abs(found.astype(int) - np.array(colour)).max() <= tolerance, (found, colour)


def assert_quadrants(found: Any, colours: tuple[Colour, ...], tolerance: int = 0) -> None:
    """Checks the centre of each quarter of a picture that fills the frame."""
    places = ((30, 22), (30, 67), (90, 22), (90, 67))  # (row, column) of 120 × 90
    for (row, column), colour in zip(places, colours, strict=True):
        assert_near(found[row, column], colour, tolerance)


# -- geometry ----------------------------------------------------------------------------------


def test_picture_of_the_frame_size_is_unchanged() -> None:
    image = quadrants()
    image.putpixel((3, 7), (12, 34, 56))
    found = pixels(encoded(image, "PNG"))
    assert tuple(found[7, 3]) == (12, 34, 56)  # row first, then column
    assert tuple(found[0, 0]) == RED
    assert tuple(found[0, 89]) == GREEN
    assert tuple(found[119, 0]) == BLUE
    assert tuple(found[119, 89]) == YELLOW
    assert tuple(found[59, 44]) == RED
    assert tuple(found[60, 45]) == YELLOW


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((90, 120), (90, 120)),
        ((45, 60), (90, 120)),  # enlarged
        ((300, 400), (90, 120)),
        ((200, 50), (90, 23)),  # 50 × 90 / 200 = 22.5, halves round up
        ((50, 200), (30, 120)),
        ((100, 100), (90, 90)),
        ((16, 20_000), (1, 120)),  # 0.096 of a pixel is one pixel
        ((20_000, 16), (90, 1)),
    ],
)
def test_aspect_ratio_is_kept_and_the_picture_is_centred_on_white(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    assert fit(size, PREPROCESSING) == fitted
    found = pixels(encoded(solid(RED, size), "PNG"))
    left, top = (90 - fitted[0]) // 2, (120 - fitted[1]) // 2
    inside = np.zeros((120, 90), bool)
    inside[top : top + fitted[1], left : left + fitted[0]] = True
    assert (found[inside] == RED).all()
    assert (found[~inside] == WHITE).all()


def test_other_frame_and_background() -> None:
    other = Preprocessing(width=64, height=32, background=(1, 2, 3))
    found = pixels(encoded(solid(RED, (50, 50)), "PNG"), other)
    assert tuple(found[5, 15]) == (1, 2, 3)
    assert tuple(found[5, 16]) == RED
    assert tuple(found[5, 47]) == RED
    assert tuple(found[5, 48]) == (1, 2, 3)


def test_downscaling_averages_all_pixels() -> None:
    """Lines one pixel wide, black and white in turn, become a grey, not one of the two."""
    lines = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (960, 360)))
    for image_format in ("PNG", "JPEG"):
        found = pixels(encoded(lines, image_format))
        assert_near(found[60, 10:80], (128, 128, 128), tolerance=8)


def test_jpeg_scaled_while_decoding_keeps_its_edges_in_place() -> None:
    """1441 × 1919 is no multiple of eight: the edge must stay in the middle of the frame."""
    image = solid(BLACK, (1441, 1919))
    image.paste(WHITE, (0, 0, 720, 1919))
    found = pixels(encoded(image, "JPEG", quality=95))
    assert found[60, 43].min() > 245
    assert found[60, 46].max() < 10


def test_jpeg_is_never_decoded_smaller_than_it_is_needed() -> None:
    """179 × 239 is just under twice the frame: half of it would have to be enlarged again."""
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (239, 179, 3), np.uint8))
    data = encoded(noise, "JPEG", quality=100, subsampling=0)
    whole = Image.open(io.BytesIO(data)).convert("RGB").resize((90, 120), Image.Resampling.HAMMING)
    assert np.abs(pixels(data).astype(int) - np.asarray(whole)).max() <= 1


# -- orientation -------------------------------------------------------------------------------

A, B, C, D = RED, GREEN, BLUE, YELLOW  # stored: A B over C D
SHOWN = {  # EXIF 2.3, tag 274: where the stored row 0 and column 0 are when it is shown
    1: (A, B, C, D),
    2: (B, A, D, C),
    3: (D, C, B, A),
    4: (C, D, A, B),
    5: (A, C, B, D),
    6: (C, A, D, B),
    7: (D, B, C, A),
    8: (B, D, A, C),
}


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(orientation: int, order: str, image_format: str) -> None:
    size = (240, 180) if orientation >= 5 else (180, 240)
    options: dict[str, object] = {"exif": exif(orientation, order)}
    if image_format == "JPEG":
        options |= {"quality": 100, "subsampling": 0}
    if image_format == "TIFF":
        options = {"tiffinfo": {0x0112: orientation}}
    found = pixels(encoded(quadrants(size), image_format, **options))
    assert_quadrants(found, SHOWN[orientation], tolerance=12)
    assert (found != 255).any(axis=2).all(), "a picture on its side fills the frame once turned"


def test_orientation_after_the_pixels_of_a_png_is_applied() -> None:
    plain = encoded(quadrants((240, 180)), "PNG")
    block = png_chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0"))
    at = plain.index(b"IEND") - 4
    assert_quadrants(pixels(plain[:at] + block + plain[at:]), SHOWN[6], tolerance=2)


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12",
        b"Exif\0\0" + b"\xaa" * 300,
        exif(0),
        exif(9),
        exif(65_535),
        exif(6)[:-9],
    ],
)
def test_broken_exif_does_not_rotate_the_picture(block: bytes) -> None:
    data = encoded(quadrants(), "JPEG", exif=block, quality=100, subsampling=0)
    assert_quadrants(pixels(data), SHOWN[1], tolerance=12)


def test_exif_with_a_cycle() -> None:
    """A directory that names a million entries is read as far as it goes, and no further."""
    block = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + struct.pack(">HHIHH", 1, 3, 1, 6, 0) * 600
    found = pixels(encoded(quadrants(), "JPEG", exif=block, quality=100, subsampling=0))
    assert_quadrants(found, SHOWN[1], tolerance=12)


# -- colours -----------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(90, 120), (180, 240), (45, 60)])
def test_each_format_is_decoded(image_format: str, size: tuple[int, int]) -> None:
    assert_quadrants(
        pixels(encoded(quadrants(size), image_format)), (RED, GREEN, BLUE, YELLOW), tolerance=12
    )


def palette_with_hidden_red() -> bytes:
    """Index 0 is red and transparent, index 1 green: the top is transparent."""
    image = Image.new("P", (90, 120), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (0, 60, 90, 120))
    return encoded(image, "PNG", transparency=0)


def gif_with_hidden_red() -> bytes:
    image = Image.new("P", (90, 120), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (0, 60, 90, 120))
    return encoded(image, "GIF", transparency=0)


def palette_with_half_transparency() -> bytes:
    """A byte of transparency for each entry: index 0 black, half of it; index 1 green, all."""
    image = Image.new("P", (90, 120), 0)
    image.putpalette([0, 0, 0, 0, 255, 0])
    image.paste(1, (0, 60, 90, 120))
    return encoded(image, "PNG", transparency=bytes([128, 255]))


def rgba(image_format: str, hidden: Colour, alpha: int, **options: object) -> bytes:
    image = Image.new("RGBA", (90, 120), (*hidden, alpha))
    image.paste((*GREEN, 255), (0, 60, 90, 120))
    return encoded(image, image_format, **options)


def grey_alpha() -> bytes:
    image = Image.new("LA", (90, 120), (0, 0))
    image.paste((0, 255), (0, 60, 90, 120))
    return encoded(image, "PNG")


GREY_16 = b"".join(b"\0" + struct.pack(">H", value) * 90 for value in [0x1234] * 60 + [0x8000] * 60)
RGB_16 = b"".join(b"\0" + struct.pack(">HHH", 0x4000, 0x8000, 0xC000) * 90 for _ in range(120))
RGBA_16 = b"".join(b"\0" + struct.pack(">HHHH", 0, 0, 0, 0x8000) * 90 for _ in range(120))

# name -> (bytes, colour in the top half, colour in the bottom half, tolerance)
COLOURS: dict[str, tuple[bytes, Colour, Colour, int]] = {
    "palette, hidden colour": (palette_with_hidden_red(), WHITE, GREEN, 0),
    "gif, hidden colour": (gif_with_hidden_red(), WHITE, GREEN, 0),
    # 0 × 128/255 + 255 × 127/255 = 127
    "palette, half": (palette_with_half_transparency(), (127, 127, 127), GREEN, 1),
    "png alpha, hidden colour": (rgba("PNG", RED, 0), WHITE, GREEN, 0),
    "png alpha, half black": (rgba("PNG", BLACK, 128), (127, 127, 127), GREEN, 1),
    "webp alpha": (rgba("WEBP", RED, 0, lossless=True, exact=True), WHITE, GREEN, 0),
    "avif alpha": (rgba("AVIF", RED, 0), WHITE, GREEN, 12),
    "tiff alpha": (rgba("TIFF", RED, 0), WHITE, GREEN, 0),
    "grey alpha": (grey_alpha(), WHITE, BLACK, 0),
    "rgb key colour": (
        encoded(quadrants(colours=(RED, RED, GREEN, GREEN)), "PNG", transparency=RED),
        WHITE,
        GREEN,
        0,
    ),
    "grey key": (
        png(
            (90, 120),
            8,
            0,
            (b"\0" + b"\x07" * 90) * 60 + (b"\0" + b"\x80" * 90) * 60,
            png_chunk(b"tRNS", b"\0\x07"),
        ),
        WHITE,
        (128, 128, 128),
        0,
    ),
    # 0x1234 is 4660 of 65535, so 18 of 255; 0x8000 is half
    "16-bit grey": (png((90, 120), 16, 0, GREY_16), (18, 18, 18), (128, 128, 128), 1),
    "16-bit grey, key": (
        png((90, 120), 16, 0, GREY_16, png_chunk(b"tRNS", b"\x12\x34")),
        WHITE,
        (128, 128, 128),
        1,
    ),
    "16-bit rgb": (png((90, 120), 16, 2, RGB_16), (64, 128, 192), (64, 128, 192), 1),
    "16-bit rgba": (png((90, 120), 16, 6, RGBA_16), (127, 127, 127), (127, 127, 127), 1),
    "32-bit tiff": (
        encoded(Image.fromarray(np.full((120, 90), 0x8000, np.int32)), "TIFF"),
        (128, 128, 128),
        (128, 128, 128),
        1,
    ),
    "one bit": (
        png((90, 120), 1, 0, (b"\0" + bytes(12)) * 60 + (b"\0" + b"\xff" * 12) * 60),
        BLACK,
        WHITE,
        0,
    ),
    "grey jpeg": (
        encoded(Image.new("L", (90, 120), 100), "JPEG"),
        (100, 100, 100),
        (100, 100, 100),
        2,
    ),
    # cyan 0, magenta and yellow full, black 0: red
    "cmyk jpeg": (
        encoded(Image.new("CMYK", (90, 120), (0, 255, 255, 0)), "JPEG", quality=100),
        RED,
        RED,
        4,
    ),
    "cmyk tiff": (encoded(Image.new("CMYK", (90, 120), (0, 255, 255, 0)), "TIFF"), RED, RED, 0),
    "progressive jpeg": (
        encoded(solid((10, 200, 90)), "JPEG", progressive=True, quality=100, subsampling=0),
        (10, 200, 90),
        (10, 200, 90),
        3,
    ),
}


@pytest.mark.parametrize("name", COLOURS)
def test_each_colour_mode(name: str) -> None:
    data, top, bottom, tolerance = COLOURS[name]
    found = pixels(data)
    for column in (10, 45, 80):
        assert_near(found[20, column], top, tolerance)
        assert_near(found[100, column], bottom, tolerance)


def test_hidden_colour_does_not_bleed_when_downscaled() -> None:
    """Red behind full transparency, beside green: no red may show at the border."""
    image = Image.new("RGBA", (900, 1200), (*RED, 0))
    image.paste((*GREEN, 255), (0, 605, 900, 1200))
    found = pixels(encoded(image, "PNG")).astype(int)
    assert (found[:, :, 1] == 255).all()  # white and green mixed are full of green
    assert (found[:, :, 0] == found[:, :, 2]).all()


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "AVIF", "PNG", "TIFF", "MPO"])
def test_only_the_first_frame_counts(image_format: str) -> None:
    frames = [solid(BLUE), solid(RED)]
    data = encoded(solid(GREEN), image_format, save_all=True, append_images=frames)
    assert_quadrants(pixels(data), (GREEN,) * 4, tolerance=12)


def test_gif_whose_first_frame_is_smaller_than_its_screen() -> None:
    """A frame of 45 × 60 at the top left of a screen of 90 × 120; nothing is drawn elsewhere."""
    small = encoded(solid(GREEN, (45, 60)), "GIF")
    data = small[:6] + struct.pack("<HH", 90, 120) + small[10:]
    found = pixels(data)
    assert_near(found[30, 22], GREEN)


def large(mode: str) -> bytes:
    """2,700 × 3,600 pixels in stripes a pixel wide, red and green; half transparent."""
    stripes = np.zeros((3600, 2700, 4), np.uint8)
    stripes[:, 0::2] = (*RED, 255)
    stripes[:, 1::2] = (*GREEN, 255)
    stripes[1800:, :, 3] = 0
    image = Image.fromarray(stripes)
    if mode == "P":
        palette = Image.new("P", (2700, 3600))
        palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
        numbers = np.tile(np.array([0, 1], np.uint8), (3600, 1350))
        numbers[1800:] = 2
        palette.putdata(numbers.ravel())
        return encoded(palette, "PNG", transparency=2, compress_level=1)
    return encoded(image, "PNG", compress_level=1)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_very_large_picture_is_averaged_and_its_border_stays_in_place(mode: str) -> None:
    found = pixels(large(mode))
    assert_near(found[:59], (128, 128, 0), tolerance=1)
    assert_near(found[61:], WHITE, tolerance=0)


@pytest.mark.parametrize("size", [(2701, 3600), (2879, 3838), (20_000, 900), (901, 20_000)])
def test_very_large_picture_of_an_odd_size(size: tuple[int, int]) -> None:
    """The last square of pixels is filled in part only: the middle must stay the middle."""
    image = solid(BLACK, size)
    image.paste(WHITE, (0, 0, size[0], size[1] // 2))
    found = pixels(encoded(image, "PNG", compress_level=1)).astype(int)
    wide, high = fit(size, PREPROCESSING)
    left, top = (90 - wide) // 2, (120 - high) // 2
    above, below = found[top + high // 2 - 1, 45, 0], found[top + high // 2, 45, 0]
    assert above > 200
    assert abs(above + below - 255) <= 8  # what is black on one side is white on the other
    assert found[top + high - 1, left].max() < 5
    assert found[top + high - 1, left + wide - 1].max() < 5


# -- rejections --------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", BAD)
def test_one_bad_picture_of_each_reason(reason: str) -> None:
    assert rejection(BAD[reason]()) == reason


@pytest.mark.parametrize(
    "data",
    [
        HTML,
        SVG,
        b"\n\n   <html>",
        b"GIF is a kind of picture\n",
        b"BMW sells cars, and this is a text about them, longer than a header\n",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"%PDF-1.7\n",
        b"PK\x03\x04",
        b'{"error": "not found"}',
        struct.pack(">I", 24) + b"ftypisom\0\0\0\0isommp42" + bytes(100),  # a video
        b"\0",
        b"\xff",
        bytes(1000),
        bytes(range(256)) * 4,
    ],
)
def test_data_that_are_not_a_picture(data: bytes) -> None:
    assert rejection(data) == "not_an_image"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated(image_format: str, share: float) -> None:
    rng = np.random.default_rng(5)
    noise = Image.fromarray(rng.integers(0, 256, (130, 100, 3), np.uint8))
    data = encoded(noise, image_format)
    assert rejection(data[: int(len(data) * share)]) == "truncated"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"])
def test_only_a_header(image_format: str) -> None:
    assert rejection(encoded(quadrants(), image_format)[:20]) == "truncated"


def test_truncated_after_a_thumbnail_with_an_end_marker() -> None:
    """The end marker of a preview inside the EXIF is not the end of the picture."""
    thumbnail = encoded(solid(RED, (32, 32)), "JPEG")
    data = encoded(quadrants((300, 400)), "JPEG", exif=exif(1) + thumbnail)
    cut = data.index(thumbnail) + len(thumbnail)
    assert rejection(data[:cut]) == "truncated"


def test_damaged_in_the_middle() -> None:
    data = bytearray(encoded(quadrants((300, 400)), "PNG"))
    middle = data.index(b"IDAT") + 20
    data[middle : middle + 40] = b"\xa5" * 40
    assert rejection(bytes(data)) == "truncated"


@pytest.mark.parametrize(
    "data",
    [
        heic(),
        b"8BPS\0\x01" + bytes(300),
        b"\xff\x0a" + bytes(300),
        b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(300),
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(300),
        b"\0\0\x01\0\x01\0" + bytes(300),
        encoded(Image.new("F", (90, 120), 0.5), "TIFF"),
        encoded(Image.new("LAB", (90, 120)), "TIFF"),
    ],
)
def test_pictures_that_are_not_decoded(data: bytes) -> None:
    assert rejection(data) == "unsupported"


def test_avif_container_with_other_content() -> None:
    data = struct.pack(">I", 24) + b"ftypmif1\0\0\0\0mif1heic" + struct.pack(">I", 100) + b"mdat"
    assert rejection(data + bytes(92)) == "unsupported"


def test_decompression_bomb_is_refused_by_its_header() -> None:
    data = png_bomb()
    assert len(data) < 30_000
    assert rejection(data) == "too_large"


def webp_canvas(width: int, height: int) -> bytes:
    """The header of an extended WebP with a canvas, and a picture of another size inside."""
    inner = encoded(solid(RED, (32, 32)), "WEBP", lossless=True)[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<IBBBB", 10, 0, 0, 0, 0) + size + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        webp_canvas(16_000, 16_000),
        encoded(solid(RED, (32, 32)), "GIF")[:6]
        + struct.pack("<HH", 65_535, 65_535)
        + encoded(solid(RED, (32, 32)), "GIF")[10:],
        # a bitmap of 100,000 × 100,000 pixels that are not there
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 10**5, 10**5, 1, 24, *[0] * 6),
        # 8,000 × 8,000 is over the limit of 50 million and under the library's own
        png_bomb(8_000),
    ],
)
def test_bombs_of_other_formats(data: bytes) -> None:
    assert rejection(data) == "too_large"


def test_jpeg_over_the_limit() -> None:
    small = Preprocessing(max_pixels=300 * 400 - 1)
    result = decode(encoded(quadrants((300, 400)), "JPEG"), small)
    assert isinstance(result, Rejected)
    assert result.reason == "too_large"
    assert "300 × 400" in result.detail
    pixels(encoded(quadrants((300, 400)), "JPEG"), Preprocessing(max_pixels=300 * 400))


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (15, 400), (400, 15), (0, 0)])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP"])
def test_too_small(size: tuple[int, int], image_format: str) -> None:
    data = encoded(solid(RED, (max(size[0], 1), max(size[1], 1))), image_format)
    assert rejection(data) == "too_small"


def test_sixteen_pixels_are_enough() -> None:
    found = pixels(encoded(quadrants((16, 16)), "PNG"))
    assert_near(found[60 - 30, 20], RED)
    assert_near(found[60 + 30, 70], YELLOW)


# -- the function as a neighbour ---------------------------------------------------------------


def test_threads_give_the_same_pixels_and_change_no_global_setting() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    rng = np.random.default_rng(2)
    noise = Image.fromarray(rng.integers(0, 256, (400, 300, 3), np.uint8))
    inputs = [encoded(noise, image_format) for image_format in ("JPEG", "PNG", "WEBP", "AVIF")] * 8
    alone = [pixels(data).tobytes() for data in inputs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: pixels(data).tobytes(), inputs))
    assert together == alone
    after = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    assert after == before


# -- settings ----------------------------------------------------------------------------------


def test_preprocessing_json_round_trip() -> None:
    settings = Preprocessing(width=64, background=(1, 2, 3), max_pixels=1000)
    assert Preprocessing.from_json(settings.to_json()) == settings
    assert settings.to_json()["background"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 0}, "width"),
        ({"height": 1.5}, "height"),
        ({"min_side": True}, "min_side"),
        ({"max_pixels": "many"}, "max_pixels"),
        ({"background": [1, 2]}, "background"),
        ({"background": [1, 2, 256]}, "background"),
        ({"background": None}, "NoneType"),
        ({"decoder": "another"}, "decoder"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_invalid_preprocessing(change: dict[str, Any], named: str) -> None:
    with pytest.raises(BundleError, match=named):
        Preprocessing.from_json(Preprocessing().to_json() | change)


def test_preprocessing_with_a_missing_field() -> None:
    values = Preprocessing().to_json()
    del values["height"]
    with pytest.raises(BundleError, match="height"):
        Preprocessing.from_json(values)


def test_preprocessing_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PREPROCESSING.width = 3  # type: ignore[misc]
