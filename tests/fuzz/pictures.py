"""Damaged pictures: small valid files of every format, mutated where their structure is."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

from tests.pictures import encoded, exif, quadrants, rgba_picture

Chunks = list[tuple[bytes, bytes]]
# sizes and counts at which decoders go wrong
NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    15,
    16,
    17,
    127,
    128,
    255,
    256,
    1000,
    7071,
    32767,
    32768,
    65535,
    2**31 - 1,
)
PNG_MARK = b"\x89PNG\r\n\x1a\n"


def noise(size: tuple[int, int] = (48, 64)) -> Image.Image:
    """A picture with many coefficients."""
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


@cache
def valid(kind: str) -> tuple[bytes, ...]:
    """Valid files of a format, in several of its variants."""
    plain, clear = quadrants((48, 64)), rgba_picture((48, 64))
    grey16 = Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(64, 48) * 21)
    frames = {"save_all": True, "append_images": [noise(), plain]}
    made: dict[str, list[bytes]] = {
        "jpeg": [
            encoded(noise(), "JPEG"),
            encoded(plain, "JPEG", progressive=True, exif=exif(6)),
            encoded(noise(), "JPEG", progressive=True, quality=95),
            encoded(noise(), "JPEG", restart_marker_rows=1, subsampling=2),
            encoded(plain.convert("CMYK"), "JPEG"),
            encoded(plain.convert("L"), "JPEG"),
            encoded(plain, "MPO", save_all=True, append_images=[noise()]),
        ],
        "png": [
            encoded(noise(), "PNG"),
            encoded(clear, "PNG", exif=exif(8)),
            encoded(plain.convert("P"), "PNG", transparency=0),
            encoded(plain.convert("1"), "PNG"),
            encoded(grey16, "PNG"),
            encoded(plain, "PNG", **frames),
        ],
        "webp": [
            encoded(noise(), "WEBP"),
            encoded(clear, "WEBP", exif=exif(3)),
            encoded(plain, "WEBP", lossless=True),
            encoded(plain, "WEBP", **frames),
        ],
        "avif": [
            encoded(noise(), "AVIF"),
            encoded(clear, "AVIF"),
            encoded(plain, "AVIF", **frames),
        ],
        "gif": [
            encoded(plain, "GIF"),
            encoded(noise().convert("P"), "GIF", transparency=1, interlace=1),
            encoded(plain, "GIF", **frames),
        ],
        "tiff": [
            encoded(noise(), "TIFF"),
            *(encoded(noise(), "TIFF", compression=f"tiff_{c}") for c in ("lzw", "adobe_deflate")),
            encoded(plain, "TIFF", compression="jpeg"),
            encoded(plain.convert("1"), "TIFF", compression="group4"),
            encoded(grey16, "TIFF"),
            encoded(plain.convert("CMYK"), "TIFF"),
            encoded(plain.convert("P"), "TIFF"),
        ],
        "bmp": [encoded(noise(), "BMP"), *(encoded(plain.convert(m), "BMP") for m in "1PL")],
    }
    return tuple(made[kind])


def number(rng: random.Random) -> int:
    return rng.choice(NUMBERS) if rng.random() < 0.7 else rng.randrange(2**32)


def junk(rng: random.Random, most: int = 200) -> bytes:
    return rng.choice(
        (rng.randbytes(rng.randrange(most)), bytes(rng.randrange(most)), b"\xff" * 40)
    )


def scrub(rng: random.Random, data: bytes, times: int = 4) -> bytes:
    """A few bytes overwritten, inserted or deleted anywhere."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, times)):
        at = rng.randrange(len(changed) + 1)
        piece = junk(rng, 8)
        how = rng.randrange(3)
        if how == 0:
            changed[at : at + len(piece)] = piece
        elif how == 1:
            changed[at:at] = piece
        else:
            del changed[at : at + rng.randint(1, 16)]
    return bytes(changed)


def write_number(rng: random.Random, data: bytes, at: int, size: str) -> bytes:
    """One number of struct's format `size` overwritten at an offset."""
    changed = bytearray(data)
    width = struct.calcsize(size)
    if 0 <= at <= len(changed) - width:
        struct.pack_into(size, changed, at, number(rng) % 256**width)
    return bytes(changed)


def shuffle_chunks(rng: random.Random, chunks: Chunks, names: tuple[bytes, ...]) -> Chunks:
    """Chunks dropped, doubled, swapped, renamed, damaged inside, or new ones put between."""
    chunks = list(chunks)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(chunks))
        name, body = chunks[at]
        how = rng.randrange(7)
        if how == 0 and len(chunks) > 1:
            del chunks[at]
        elif how == 1:
            chunks[at:at] = [(name, body)] * rng.choice((1, 2, 50))
        elif how == 2:
            other = rng.randrange(len(chunks))
            chunks[at], chunks[other] = chunks[other], chunks[at]
        elif how == 3:
            chunks[at] = (rng.choice(names), body)
        elif how == 4:
            chunks.insert(at, (rng.choice(names), junk(rng)))
        elif body:
            chunks[at] = (name, scrub(rng, body))
    return chunks


# ---- PNG

PNG_NAMES = tuple(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM iCCP sRGB tEXt zTXt iTXt pHYs eXIf acTL fcTL fdAT".split()
)


def png_chunks(data: bytes) -> Chunks:
    at, chunks = len(PNG_MARK), []
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def png(rng: random.Random, data: bytes) -> bytes:
    chunks = png_chunks(data)
    if rng.random() < 0.5:
        chunks = shuffle_chunks(rng, chunks, PNG_NAMES)
    if (
        rng.random() < 0.4
    ):  # the header: width, height, depth, colour, compression, filter, interlace
        header = bytearray(chunks[0][1].ljust(13, b"\0"))
        at = rng.choice((0, 4, 8, 9, 10, 11, 12))
        if at < 8:
            struct.pack_into(">I", header, at, number(rng))
        else:
            header[at] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0] = (chunks[0][0], bytes(header))
    if rng.random() < 0.3:  # compressed text and profiles, also those that grow large
        text = zlib.compress(bytes(rng.choice((10, 10_000, 5_000_000))), 9)
        name = rng.choice((b"zTXt", b"iCCP", b"iTXt"))
        chunks.insert(1, (name, b"k\0" + rng.choice((b"\0", b"\1\0\0\0", b"")) + text))
    if rng.random() < 0.2:  # other pixels than the header promises
        rows = zlib.compress(junk(rng, 40_000), 1)
        chunks = [(name, rows if name == b"IDAT" else body) for name, body in chunks]
    made = io.BytesIO()
    made.write(PNG_MARK)
    for name, body in chunks:
        size = len(body) if rng.random() > 0.03 else number(rng)
        checksum = zlib.crc32(name + body) if rng.random() > 0.05 else number(rng) % 2**32
        made.write(struct.pack(">I", size % 2**32) + name + body + struct.pack(">I", checksum))
    return made.getvalue()


# ---- JPEG


def jpeg_segments(data: bytes) -> tuple[Chunks, bytes]:
    """(marker, body) of each segment, a scan's data with its SOS; and what follows the end."""
    at, segments = 2, []
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at : at + 2]
        if marker == b"\xff\xd9":
            break
        (size,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + size
        if marker == b"\xff\xda":  # the scan goes to the next marker that is none of its own
            while end < len(data) - 1 and not (data[end] == 0xFF and data[end + 1] not in _INSIDE):
                end += 1
        segments.append((marker, data[at + 4 : end]))
        at = end
    return segments, data[at:]


_INSIDE = {0, *range(0xD0, 0xD8)}
JPEG_NAMES = tuple(bytes([0xFF, code]) for code in (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xDB, 0xDA))
JPEG_NAMES += tuple(bytes([0xFF, code]) for code in (0xDC, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE))


def jpeg(rng: random.Random, data: bytes) -> bytes:
    segments, rest = jpeg_segments(data)
    if rng.random() < 0.5:
        segments = shuffle_chunks(rng, segments, JPEG_NAMES)
    for at, (marker, body) in enumerate(segments):
        if marker in (b"\xff\xc0", b"\xff\xc2") and rng.random() < 0.4:
            where = rng.choice((0, 1, 3, 5, 6, 7, 8))  # depth, height, width, components, sampling
            body = write_number(rng, body, where, ">H" if where in (1, 3) else "B")
            segments[at] = (marker, body)
    if rng.random() < 0.2:  # the same scan again and again
        scans = [segment for segment in segments if segment[0] == b"\xff\xda"]
        segments += scans[-1:] * rng.choice((1, 10, 100, 1500))
    if rng.random() < 0.2:
        segments.insert(
            0, (b"\xff\xe1", b"Exif\0\0" + rng.choice((b"II*\0", b"MM\0*")) + junk(rng))
        )
    made = io.BytesIO()
    made.write(b"\xff\xd8")
    for marker, body in segments:
        head = body
        size = len(head) + 2
        if marker == b"\xff\xda":  # its length covers its own header only
            size = (6 + 2 * body[0]) if body else 2
        if rng.random() < 0.03:
            size = number(rng)
        made.write(marker + struct.pack(">H", size % 65536) + body)
    made.write(rest if rng.random() > 0.1 else b"")
    return made.getvalue()


# ---- RIFF (WebP)

WEBP_NAMES = tuple(b"VP8 |VP8L|VP8X|ALPH|ANIM|ANMF|EXIF|ICCP|XMP ".split(b"|"))


def webp(rng: random.Random, data: bytes) -> bytes:
    at, chunks = 12, []
    while at + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    if rng.random() < 0.5:
        chunks = shuffle_chunks(rng, chunks, WEBP_NAMES)
    for at, (name, body) in enumerate(chunks):
        places = {b"VP8X": (0, 4, 7), b"VP8 ": (3, 6, 8), b"VP8L": (1, 2, 3), b"ANMF": (0, 3, 6, 9)}
        if name in places and rng.random() < 0.5:
            chunks[at] = (name, write_number(rng, body, rng.choice(places[name]), "<H"))
    made = b"".join(
        name
        + struct.pack("<I", len(body) if rng.random() > 0.03 else number(rng) % 2**32)
        + body
        + bytes(len(body) % 2)
        for name, body in chunks
    )
    size = len(made) + 4 if rng.random() > 0.1 else number(rng) % 2**32
    return b"RIFF" + struct.pack("<I", size) + b"WEBP" + made


# ---- the others: numbers at the places where headers have them


def avif(rng: random.Random, data: bytes) -> bytes:
    boxes = (
        b"ispe",
        b"iloc",
        b"iinf",
        b"ipma",
        b"ipco",
        b"av1C",
        b"pixi",
        b"mdat",
        b"hdlr",
        b"meta",
    )
    for _ in range(rng.randint(1, 3)):
        box = rng.choice(boxes)
        at = data.find(box)
        if at >= 4:
            where = at + rng.choice((-4, 4, 8, 12, 16, 20))
            data = write_number(rng, data, where, rng.choice((">I", ">H", "B")))
    return data


def gif(rng: random.Random, data: bytes) -> bytes:
    starts = [6, 8, 10, 11, 13]
    starts += [at + off for at in _all(data, b"\x2c") for off in (1, 3, 5, 7, 9, 10, 11)]
    starts += [at + off for at in _all(data, b"\x21\xf9") for off in (2, 3, 4, 6)]
    for _ in range(rng.randint(1, 3)):
        data = write_number(rng, data, rng.choice(starts), rng.choice(("<H", "B")))
    return data


def tiff(rng: random.Random, data: bytes) -> bytes:
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, start)
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        entry = start + 2 + 12 * rng.randrange(max(1, entries))
        how = rng.randrange(5)
        if how == 0:  # another tag that decoders read
            tag = rng.choice((256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 339))
            struct.pack_into(order + "H", changed, entry, tag)
        elif how == 1:
            struct.pack_into(
                order + "H", changed, entry + 2, rng.choice((0, 1, 2, 3, 4, 5, 12, 16))
            )
        elif how == 2:
            struct.pack_into(order + "I", changed, entry + 4, number(rng))
        elif how == 3:
            struct.pack_into(order + "I", changed, entry + 8, number(rng))
        else:
            struct.pack_into(order + "H", changed, start, number(rng) % 65536)
    return bytes(changed)


def bmp(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.randint(1, 3)):
        data = write_number(
            rng, data, rng.choice((2, 10, 14, 18, 22, 26, 28, 30, 34, 46, 50)), "<I"
        )
    return data


def _all(data: bytes, mark: bytes) -> list[int]:
    return [at for at in range(13, len(data)) if data.startswith(mark, at)]


MUTATIONS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "jpeg": jpeg, "png": png, "webp": webp, "avif": avif, "gif": gif, "tiff": tiff, "bmp": bmp,
}  # fmt: skip


def damaged(kind: str, rng: random.Random) -> bytes:
    """A damaged file of a format: its structure mutated, then perhaps scrubbed, spliced or cut."""
    files = valid(kind)
    data = rng.choice(files)
    if rng.random() < 0.85:
        data = MUTATIONS[kind](rng, data)
    if rng.random() < 0.2:
        data = scrub(rng, data)
    if rng.random() < 0.1:
        other = rng.choice(files)
        data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]
    if rng.random() < 0.15:
        data = data[: rng.randrange(len(data) + 1)]
    return data
