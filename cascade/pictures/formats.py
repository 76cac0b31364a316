"""Reads format, truncation and orientation from the bytes of a file, without a decoder.

Each function parses a few header fields itself. So a hostile file reaches the decoders as late as
possible, and a broken EXIF block neither raises nor warns.
"""

from __future__ import annotations

import struct

# Formats that are decoded, by Pillow's names.
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
DECODED = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")

# Picture formats that are recognised but not decoded.
_KNOWN_ONLY = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "PSD"),
    (b"\0\0\x01\0", "ICO"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
)
_AVIF_BRANDS = (b"avif", b"avis", b"mif1", b"msf1")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)

_EXIF_HEADER = b"Exif\0\0"
_EXIF_ORIENTATION = 0x0112
_EXIF_FIELDS = {3: "H", 4: "I"}  # SHORT by the standard; some programs write LONG
_EXIF_MAX_ENTRIES = 512


def sniff(data: bytes) -> str | None:
    """Detect the picture format from the first bytes; the file name does not matter.

    Returns one of ``DECODED``, the name of a format that is not decoded ("HEIC", "PSD", …), or
    None for anything else: text, HTML, SVG, archives, video, noise.
    """
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        if brand in _AVIF_BRANDS:
            return "AVIF"
        return "HEIC" if brand in _HEIC_BRANDS else None
    if data[:4] == b"RIFF":
        return "WEBP" if data[8:12] == b"WEBP" else None
    if data[:2] == b"BM":  # a text may also begin with these letters
        return "BMP" if int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES else None
    for signature, format_name in _SIGNATURES + _KNOWN_ONLY:
        if data.startswith(signature):
            return format_name
    return None


def is_truncated(format_name: str, data: bytes) -> bool:
    """Whether the data end before the end that the format's own structure gives."""
    if format_name == "JPEG":
        return _jpeg_is_truncated(data)
    if format_name == "PNG":
        return b"IEND" not in data[-64:]
    if format_name == "GIF":
        return not data.rstrip(b"\0").endswith(b";")
    if format_name == "WEBP":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    if format_name == "BMP":
        return len(data) < int.from_bytes(data[2:6], "little")
    if format_name == "TIFF":
        return _tiff_is_truncated(data)
    return _boxes_is_truncated(data)


def _jpeg_is_truncated(data: bytes) -> bool:
    """Walk the segments up to the pixels: a preview in the EXIF has an end marker too."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:  # start of scan: only the end marker counts from here
            return not data.rstrip(b"\0").endswith(b"\xff\xd9")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at + 4 > len(data)


def _tiff_is_truncated(data: bytes) -> bool:
    """Whether the first directory is beyond the end. TIFF 6.0 section 2, and BigTIFF."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    try:
        (first,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        if first >= len(data):
            return True
        (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, first)
    except struct.error:
        return True
    return bool(first + (8 + 20 * entries if big else 2 + 12 * entries) > len(data))


def _boxes_is_truncated(data: bytes) -> bool:
    """Whether the last ISO box (AVIF) is longer than the rest of the data."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:  # up to the end of the file
            return False
        if size < 8:  # not a box: damaged, with an unknown end
            return False
        at += size
    return at > len(data)


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a WebP's canvas from its header; None if it cannot be read.

    The decoder allocates the canvas on opening, so the size limit must be checked before.
    """
    chunk = data[12:16]
    try:
        if chunk == b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        if chunk == b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
        if chunk == b"VP8X" and len(data) >= 30:
            width = int.from_bytes(data[24:27], "little") + 1
            return width, int.from_bytes(data[27:30], "little") + 1
    except struct.error:
        return None
    return None


def exif_orientation(exif: bytes) -> int:
    """The orientation (1 to 8) in a block of EXIF; 1 (upright) if there is none or it is broken.

    Pillow's reader raises or warns on broken blocks, which are common in a crawl. Layout: TIFF 6.0,
    sections 2 and 8; tag: EXIF 2.3.
    """
    tiff = exif
    while tiff.startswith(_EXIF_HEADER):  # some programs write it twice
        tiff = tiff[len(_EXIF_HEADER) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * min(count, _EXIF_MAX_ENTRIES), 12):
            tag, field = struct.unpack_from(order + "HH", tiff, at)
            if tag == _EXIF_ORIENTATION and field in _EXIF_FIELDS:
                (value,) = struct.unpack_from(order + _EXIF_FIELDS[field], tiff, at + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # the block ends within its directory
        return 1
    return 1
