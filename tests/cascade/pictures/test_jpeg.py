"""JPEGs whose data are damaged, although libjpeg would fill the gap with grey; and their scans."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cascade.pictures import jpeg
from cascade.pictures.decode import Preprocessing, Rejected, decode
from tests.pictures import RED, encoded, solid

END = b"\xff\xd9"
WAYS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "grey": {"grey": True},
    "4:4:4": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "progressive, restarts": {"progressive": True, "restart_marker_blocks": 5},
}


def photograph(**options: Any) -> bytes:
    """Something with edges, gradients and noise, on white."""
    rng = np.random.default_rng(3)
    pixels = np.full((400, 300, 3), 255, np.uint8)
    ramp = np.linspace(20, 220, 200)[None, :, None] + np.linspace(-20, 20, 260)[:, None, None]
    pixels[60:320, 50:250] = np.clip(ramp + rng.normal(0, 12, (260, 200, 3)), 0, 255)
    image = Image.fromarray(pixels)
    if options.pop("grey", False):
        image = image.convert("L")
    return encoded(image, "JPEG", quality=85, **options)


def outcome(data: bytes) -> str:
    result = decode(data, Preprocessing())
    return result.reason if isinstance(result, Rejected) else "accepted"


@pytest.mark.parametrize("way", WAYS)
def test_whole_picture_has_the_same_pixels_as_without_the_check(way: str) -> None:
    data = photograph(**WAYS[way])
    found = decode(data, Preprocessing())
    assert isinstance(found, np.ndarray), found
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (90, 120))
    flat = image.convert("RGB").resize((90, 120), Image.Resampling.HAMMING)
    assert (found == np.asarray(flat)).all()


@pytest.mark.parametrize("way", WAYS)
def test_missing_end_mark_alone_is_no_damage(way: str) -> None:
    data = photograph(**WAYS[way])
    assert data.endswith(END)
    whole, cut = decode(data, Preprocessing()), decode(data[:-2], Preprocessing())
    assert isinstance(cut, np.ndarray), cut
    assert (cut == whole).all()
    assert outcome(data[:-1]) == "accepted"  # half of the mark


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.4, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("end", [b"", END, END + bytes(100)])
def test_cut_is_found_with_and_without_an_end_mark(way: str, share: float, end: bytes) -> None:
    data = photograph(**WAYS[way])
    assert outcome(data[: int(len(data) * share)] + end) == "truncated"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_bytes_missing_in_the_middle_are_found(way: str, share: float) -> None:
    data = photograph(**WAYS[way])
    start, length = int(len(data) * share), len(data) // 8
    assert outcome(data[:start] + data[start + length :]) == "truncated"
    assert outcome(data[:start] + END + data[start + 2 :]) == "truncated"


@pytest.mark.parametrize("way", ["baseline", "grey", "4:4:4", "progressive"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_noise_in_the_middle_is_found(way: str, share: float) -> None:
    """Unless it gives exactly as many pixels as before, or a code that libjpeg alone sees."""
    data = photograph(**WAYS[way])
    start, length = int(len(data) * share), len(data) // 8
    found = 0
    for seed in range(10):
        noise = np.random.default_rng(seed).bytes(length).replace(b"\xff", b"\0")
        found += outcome(data[:start] + noise + data[start + length :]) == "truncated"
    assert found >= 7


def test_more_data_than_pixels_is_found() -> None:
    """A file whose header gives fewer rows than its data hold is not the picture it was."""
    data = bytearray(photograph())
    at = data.index(b"\xff\xc0")
    assert int.from_bytes(data[at + 5 : at + 7], "big") == 400
    data[at + 5 : at + 7] = (200).to_bytes(2, "big")
    assert outcome(bytes(data)) == "truncated"


def test_last_scan_of_a_progressive_picture_is_missing() -> None:
    data = photograph(progressive=True)
    start = data.rindex(b"\xff\xda")
    result = decode(data[:start] + END, Preprocessing())
    assert isinstance(result, Rejected)
    assert result.reason == "truncated"
    assert "63 coefficients are in no scan" in result.detail


def test_missing_restart_marker_is_found() -> None:
    data = photograph(restart_marker_rows=1)
    found = jpeg.structure(data)
    assert len(found.stretches) == 25  # 400 rows in blocks of 16
    start, end, _ = found.stretches[9]
    assert outcome(data[:start] + data[end + 2 :]) == "truncated"


def test_bytes_after_the_end_and_fill_bytes_are_no_damage() -> None:
    data = photograph()
    assert outcome(data + b"written by a telephone" * 9) == "accepted"
    assert outcome(data[:-2] + b"\xff\xff\xff" + END) == "accepted"


# -- scans -------------------------------------------------------------------------------------


def with_scans(size: tuple[int, int], scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated; each repetition has some 100 bytes."""
    data = encoded(solid(RED, size), "JPEG", progressive=True)
    found = jpeg.structure(data)
    end = found.stretches[-1][1]
    last = data[data.rindex(b"\xff\xda") : end]
    return data[:end] + last * (scans - found.scans) + END


def test_scans_times_pixels_are_limited() -> None:
    few = with_scans((300, 400), 20)
    assert jpeg.structure(few).scans == 20
    assert outcome(few) == "accepted"
    bomb = with_scans((2000, 2000), 1500)
    before = time.process_time()
    result = decode(bomb, Preprocessing())
    assert time.process_time() - before < 1  # 12 seconds without the limit
    assert isinstance(result, Rejected)
    assert result.reason == "too_large"
    assert "1500 scans" in result.detail


def test_limits_leave_room_for_the_largest_good_picture() -> None:
    """50 million pixels with 20 scans, twice what encoders write."""
    pixels = Preprocessing().max_pixels
    assert 20 * pixels <= jpeg.MAX_SCANNED_PIXELS < 30 * pixels


def test_number_of_markers_is_limited() -> None:
    data = photograph()
    assert outcome(data[:2] + b"\xff\xfe\0\2" * 1_000 + data[2:]) == "accepted"
    assert outcome(data[:2] + b"\xff\xfe\0\2" * 300_000 + data[2:]) == "too_large"
