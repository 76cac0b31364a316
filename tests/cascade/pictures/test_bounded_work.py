"""Time and memory for one picture have limits, whatever its format."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from cascade.pictures import decode as decoding
from cascade.pictures.bounded_work import BoundedReader, Deadline, TooMuchWork
from cascade.pictures.decode import Preprocessing, Rejected, decode
from tests.pictures import RED, encoded, exif, quadrants, solid


def test_reader_reads_as_a_file_does_until_the_deadline() -> None:
    reader = BoundedReader(b"abc" * 1000, Deadline(60))
    assert [reader.read(2), reader.read(1), reader.read(0)] == [b"ab", b"c", b""]
    assert len(reader.read()) == 2997
    late = BoundedReader(b"abc" * 1000, Deadline(-1))
    with pytest.raises(TooMuchWork, match="processor time"):
        for _ in range(1000):
            late.read(1)


def test_picture_that_takes_too_long_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "Deadline", lambda: Deadline(-1))
    data = encoded(quadrants((300, 400)), "JPEG", progressive=True)
    result = decode(data, Preprocessing())
    assert isinstance(result, Rejected)
    assert result.reason == "too_large"


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_kinds_that_allocate_at_once_have_a_lower_limit(kind: str) -> None:
    """16 bytes a pixel: 50 million pixels would be 750 MB from a file of 2 kB."""
    # AVIF's encoder takes seconds for a picture that large: its header is made larger instead
    data = encoded(solid(RED, (32, 32)), kind, lossless=True)
    if kind == "WEBP":
        (bits,) = struct.unpack_from("<I", data, 21)
        size = (5000 - 1) | (4000 - 1) << 14
        data = data[:21] + struct.pack("<I", (bits & 0xF0000000) | size) + data[25:]
    else:
        at = data.index(b"ispe") + 8
        data = data[:at] + struct.pack(">II", 5000, 4000) + data[at + 8 :]
    result = decode(data, Preprocessing())
    assert isinstance(result, Rejected)
    assert result.reason == "too_large"
    assert "5000 × 4000" in result.detail


def test_lower_limit_holds_for_those_kinds_only() -> None:
    found = decode(encoded(solid(RED, (5000, 4000)), "PNG", compress_level=1), Preprocessing())
    assert isinstance(found, np.ndarray)


# -- TIFF: which values are black and white ------------------------------------------------------


def grey_tiff(bits: int, sample_format: int, photometric: int, values: bytes) -> bytes:
    """An uncompressed grey TIFF of 32 × 32 pixels."""
    tags = [
        (256, 3, 32),
        (257, 3, 32),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, 32),
        (279, 4, len(values)),
        (339, 3, sample_format),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(values)) + values + directory


@pytest.mark.parametrize(
    ("bits", "sample_format", "photometric", "pixel"),
    [
        (16, 2, 1, struct.pack("<h", 0x4000)),  # signed
        (32, 1, 1, struct.pack("<I", 0x80000000)),  # unsigned
        (16, 1, 0, struct.pack("<H", 0xFFFF)),  # 0 is white
    ],
)
def test_greys_of_an_unknown_range_are_unsupported(
    bits: int, sample_format: int, photometric: int, pixel: bytes
) -> None:
    data = grey_tiff(bits, sample_format, photometric, pixel * 32 * 32)
    assert Image.open(io.BytesIO(data)).size == (32, 32)
    result = decode(data, Preprocessing())
    assert isinstance(result, Rejected)
    assert result.reason == "unsupported"


def test_16_bit_greys_that_begin_with_black_are_decoded() -> None:
    data = grey_tiff(16, 1, 1, struct.pack("<H", 0x4000) * 32 * 32)
    found = decode(data, Preprocessing())
    assert isinstance(found, np.ndarray), found
    assert tuple(found[60, 45]) == (64, 64, 64)


def test_orientation_behind_a_doubled_exif_header() -> None:
    block = b"Exif\0\0" + exif(3)
    found = decode(encoded(quadrants(), "JPEG", exif=block, quality=100), Preprocessing())
    assert isinstance(found, np.ndarray)
    assert np.abs(found[90, 67].astype(int) - RED).max() < 12  # turned by 180 degrees
