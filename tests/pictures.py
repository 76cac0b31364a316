"""Small malformed files for tests, built by hand where Pillow cannot write them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

RED, GREEN, BLUE, BLACK, WHITE = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (0, 0, 0),
    (255, 255, 255),
)
YELLOW = (255, 255, 0)
Colour = tuple[int, int, int]


def solid(colour: Colour, size: tuple[int, int] = (90, 120)) -> Image.Image:
    return Image.new("RGB", size, colour)


def quadrants(
    size: tuple[int, int] = (90, 120), colours: tuple[Colour, ...] = (RED, GREEN, BLUE, YELLOW)
) -> Image.Image:
    """Four colours: top left, top right, bottom left, bottom right."""
    image = Image.new("RGB", size)
    half_w, half_h = size[0] // 2, size[1] // 2
    corners = ((0, 0), (half_w, 0), (0, half_h), (half_w, half_h))
    for colour, (x, y) in zip(colours, corners, strict=True):
        image.paste(colour, (x, y, x + half_w, y + half_h))
    return image


def rgba_picture(size: tuple[int, int] = (90, 120)) -> Image.Image:
    """Transparent red in the upper half, green below."""
    image = Image.new("RGBA", size, (*RED, 0))
    image.paste((*GREEN, 255), (0, size[1] // 2, *size))
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    size: tuple[int, int], depth: int, colour_type: int, rows: bytes, extra: bytes = b""
) -> bytes:
    """A PNG from its scan lines (each with its filter byte), for PNGs that Pillow cannot write."""
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", zlib.compress(rows, 9))
        + png_chunk(b"IEND", b"")
    )


def png_bomb(side: int = 14_000) -> bytes:
    """A valid one-bit picture of ``side`` squared pixels in some 24 kB."""
    row = b"\0" + bytes((side + 7) // 8)
    squeezer = zlib.compressobj(9)
    body = b"".join(squeezer.compress(row) for _ in range(side)) + squeezer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", body)
        + png_chunk(b"IEND", b"")
    )


def exif(orientation: int, order: str = "<") -> bytes:
    """An EXIF block with one entry, little (``<``) or big (``>``) endian."""
    mark = {"<": b"II", ">": b"MM"}[order]
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + mark + struct.pack(order + "HIH", 42, 8, 1) + entry + struct.pack("<I", 0)


def heic() -> bytes:
    """The first box of a HEIC, enough to detect the format."""
    return struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(200)


HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body></body></html>\n"
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="90" height="120"/>\n'

# reason -> how to make the bytes of a file that is rejected for it
BAD: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "not_an_image": lambda: HTML,
    "truncated": lambda: encoded(quadrants((300, 400)), "JPEG")[:1500],
    "too_large": png_bomb,
    "too_small": lambda: encoded(solid(RED, (1, 1)), "PNG"),
    "unsupported": heic,
}
