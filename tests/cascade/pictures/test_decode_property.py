"""Whatever the bytes: a tensor of the right shape, or a known reason; never an exception."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cascade.pictures.decode import REASONS, Preprocessing, Rejected, decode, fit
from tests.pictures import encoded, exif, heic, quadrants, rgba_picture

# a low limit, so that a mutated size costs no gigabytes
PREPROCESSING = Preprocessing(max_pixels=1_000_000)
# what a decoder of bytes can answer; the others are about files
OF_BYTES = set(REASONS) - {"missing", "unreadable", "outside_root"}

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
VALID = [
    *(encoded(quadrants((40, 60)), image_format) for image_format in FORMATS),
    encoded(quadrants((40, 60)), "JPEG", exif=exif(6)),
    encoded(quadrants((40, 60)), "JPEG", progressive=True),
    encoded(quadrants((40, 60)), "PNG", exif=exif(8)),
    encoded(quadrants((40, 60)), "TIFF", compression="tiff_lzw"),
    encoded(quadrants((40, 60)), "TIFF", compression="tiff_deflate"),
    encoded(quadrants((40, 60)).convert("CMYK"), "JPEG"),
    encoded(quadrants((40, 60)).convert("P"), "PNG"),
    encoded(quadrants((40, 60)).convert("1"), "BMP"),
    encoded(Image.fromarray(np.full((60, 40), 700, np.uint16)), "PNG"),
    encoded(quadrants((40, 60)), "GIF", save_all=True, append_images=[quadrants((40, 60))]),
    encoded(quadrants((40, 60)), "WEBP", save_all=True, append_images=[quadrants((40, 60))]),
    *(encoded(rgba_picture((40, 60)), name) for name in ("PNG", "WEBP", "AVIF", "TIFF")),
    heic(),
]
SIGNATURES = sorted({data[:12] for data in VALID})


def check(data: bytes) -> None:
    result = decode(data, PREPROCESSING)
    if isinstance(result, Rejected):
        assert result.reason in OF_BYTES
        assert result.detail
    else:
        assert result.shape == (120, 90, 3)
        assert result.dtype == np.uint8


def lasting(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@lasting(200)
@given(st.binary(max_size=400))
def test_noise(data: bytes) -> None:
    check(data)


@lasting(300)
@given(st.sampled_from(SIGNATURES), st.binary(max_size=400))
def test_noise_after_a_signature(signature: bytes, data: bytes) -> None:
    check(signature + data)


edit = st.tuples(
    st.sampled_from(("overwrite", "insert", "delete")),
    # the header, in the first bytes, has the largest effect on a decoder
    st.one_of(st.integers(0, 80), st.integers(0, 4000)),
    st.binary(min_size=1, max_size=8),
)


@lasting(1000)
@given(st.sampled_from(VALID), st.lists(edit, min_size=1, max_size=5))
def test_mutated_files(data: bytes, edits: list[tuple[str, int, bytes]]) -> None:
    changed = bytearray(data)
    for how, at, value in edits:
        at %= len(changed) + 1
        if how == "overwrite":
            changed[at : at + len(value)] = value
        elif how == "insert":
            changed[at:at] = value
        else:
            del changed[at : at + len(value)]
    check(bytes(changed))


@lasting(200)
@given(st.sampled_from(VALID), st.floats(0, 1))
def test_files_cut_anywhere(data: bytes, share: float) -> None:
    check(data[: int(len(data) * share)])


@lasting(300)
@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b""]))
def test_noise_as_exif(block: bytes, order: bytes) -> None:
    """A broken EXIF block never costs the picture."""
    data = encoded(quadrants((40, 60)), "JPEG", exif=b"Exif\0\0" + order + block)
    assert isinstance(decode(data, PREPROCESSING), np.ndarray)


side = st.integers(16, 60_000)


@lasting(500)
@given(side, side)
def test_fitted_size_touches_the_frame_and_keeps_the_aspect(width: int, height: int) -> None:
    wide, high = fit((width, height), PREPROCESSING)
    assert 1 <= wide <= 90
    assert 1 <= high <= 120
    assert wide == 90 or high == 120
    # each side is within half a pixel of the exact one, unless the exact one is under half a pixel
    scale = min(90 / width, 120 / height)
    assert abs(wide - width * scale) <= 0.5 + 1e-9 or wide == 1
    assert abs(high - height * scale) <= 0.5 + 1e-9 or high == 1


def test_list_of_reasons() -> None:
    """They are written in catalogues: a new one goes to the end of nothing else's place."""
    assert all(a != b for a, b in pairwise(sorted(REASONS)))
    assert set(REASONS) == {
        "missing",
        "empty",
        "not_an_image",
        "truncated",
        "too_large",
        "too_small",
        "unsupported",
        "unreadable",
        "outside_root",
    }
