"""From a file to the tensor: one function for training, evaluation, worker and command line.

A picture is fitted into 90 × 120 with its aspect kept, centred, and padded in white; or it is
rejected with one of ``REASONS``. Nothing here raises because of a bad picture, nothing keeps
state, and nothing touches the decoder library's own switches, so any thread may call it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from cascade.pictures import colour_modes, formats, safe_read
from cascade.pictures.colour_modes import Box
from cascade.pictures.preprocessing import Preprocessing, fit

__all__ = [
    "REASONS",
    "Loaded",
    "Preprocessing",
    "Rejected",
    "content_hash",
    "decode",
    "fit",
    "load",
]

REASONS = (
    "missing",
    "empty",
    "not_an_image",
    "truncated",
    "too_large",
    "too_small",
    "unsupported",
    "unreadable",
    "outside_root",
)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a picture cannot be used: one of ``REASONS``, and a line for a person."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one file.

    ``size`` in bytes, ``mtime`` in seconds since 1970, ``content_hash`` the BLAKE2b-128 of the
    bytes in hexadecimal; None where the file could not be read that far. Exactly one of ``pixels``
    (height, width, 3; uint8 RGB) and ``reason`` is set.
    """

    path: str
    size: int | None
    mtime: float | None
    content_hash: str | None
    pixels: NDArray[np.uint8] | None
    reason: str | None
    detail: str | None


def content_hash(data: bytes) -> str:
    """The BLAKE2b-128 of the bytes, 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def load(path: str, preprocessing: Preprocessing, roots: Sequence[str] = ()) -> Loaded:
    """Reads, hashes and decodes one file; never raises because of the file.

    ``path`` is a path of the operating system (bytes that are no UTF-8 as surrogate escapes). With
    ``roots``, a file that does not lie under one of them once links are followed is rejected.
    """
    found = safe_read.read(path, preprocessing.max_bytes, roots)
    if found.data is None:
        return Loaded(path, found.size, found.mtime, None, None, found.reason, found.detail)
    result = decode(found.data, preprocessing)
    digest = content_hash(found.data)
    if isinstance(result, Rejected):
        reason, detail = result.reason, result.detail
        return Loaded(path, found.size, found.mtime, digest, None, reason, detail)
    return Loaded(path, found.size, found.mtime, digest, result, None, None)


def decode(data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8] | Rejected:
    """The bytes of a picture as (height, width, 3) uint8 RGB, 0 to 255; or why not."""
    image = _open(data, preprocessing)
    if isinstance(image, Rejected):
        return image
    size = image.size
    box = _load(image, preprocessing)
    if isinstance(box, Rejected):
        return box
    if image.mode not in colour_modes.MODES:
        return Rejected("unsupported", f"pixels of mode {image.mode!r}")
    # Some kinds keep their EXIF behind the pixels, so only now is it known for certain.
    orientation = _orientation(image)
    target = _fit_before_rotation(size, orientation, preprocessing)
    flat, box = colour_modes.flatten(image, box, target, preprocessing.background)
    if flat.size != target:
        shrinks = target[0] < flat.width or target[1] < flat.height
        method = Image.Resampling.HAMMING if shrinks else Image.Resampling.BICUBIC
        flat = flat.resize(target, method, box=box)
    if orientation in _TRANSPOSE:  # after shrinking, where it costs nothing
        flat = flat.transpose(_TRANSPOSE[orientation])
    canvas = Image.new("RGB", (preprocessing.width, preprocessing.height), preprocessing.background)
    canvas.paste(flat, ((canvas.width - flat.width) // 2, (canvas.height - flat.height) // 2))
    return np.array(canvas, dtype=np.uint8)  # (height, width, 3)


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG, also the first picture of an MPO, whose EXIF is left alone while it is opened."""

    def getexif(self) -> Image.Exif:
        """Empty: the library would look for a resolution, and warn of EXIF that is broken."""
        return Image.Exif()


# The decoder is chosen by the bytes: no other one ever sees the file.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": _Jpeg,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _open(data: bytes, preprocessing: Preprocessing) -> ImageFile.ImageFile | Rejected:
    """Reads the header alone, and refuses by it what must not be decoded."""
    if not data:
        return Rejected("empty", "no bytes")
    format_name = formats.sniff(data)
    if format_name is None:
        return Rejected("not_an_image", f"begins with {data[:16]!r}")
    if format_name not in _READERS:
        return Rejected("unsupported", f"{format_name} is not decoded here")
    # This one allocates its canvas on opening, so its size is looked at before.
    canvas = formats.webp_canvas(data) if format_name == "WEBP" else None
    refusal = _refuse_size(canvas, preprocessing) if canvas else None
    if refusal is not None:
        return refusal
    try:
        image = _READERS[format_name](io.BytesIO(data))
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises is the picture's fault
        return _rejected(
            error, "truncated" if formats.is_truncated(format_name, data) else "unsupported"
        )
    return _refuse_size(image.size, preprocessing) or image


def _refuse_size(size: tuple[int, int], preprocessing: Preprocessing) -> Rejected | None:
    width, height = size
    if width * height > preprocessing.max_pixels:
        limit = preprocessing.max_pixels
        return Rejected("too_large", f"{width} × {height} pixels, more than {limit} in all")
    if min(width, height) < preprocessing.min_side:
        limit = preprocessing.min_side
        return Rejected("too_small", f"{width} × {height} pixels, a side under {limit}")
    return None


def _load(image: ImageFile.ImageFile, preprocessing: Preprocessing) -> Box | Rejected:
    """Decodes the first frame; a JPEG at the smallest scale that is not under the fitted size.

    Returns the part of the decoded picture that the whole one fills, in decoded pixels: where a
    side is no multiple of the scale, the last row or column is filled only in part.
    """
    box: Box = (0, 0, *image.size)
    try:
        if isinstance(image, _Jpeg):
            target = _fit_before_rotation(image.size, _orientation(image), preprocessing)
            drafted = image.draft("RGB", target)
            box = drafted[1] if drafted else box
        image.load()
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises is the picture's fault
        return _rejected(error, "truncated")
    return box


def _fit_before_rotation(
    size: tuple[int, int], orientation: int, preprocessing: Preprocessing
) -> tuple[int, int]:
    """The fitted (width, height) of a picture that is still to be turned by its orientation."""
    if orientation < 5:
        return fit(size, preprocessing)
    width, height = fit(size[::-1], preprocessing)  # 5 to 8: it lies on its side
    return height, width


def _rejected(error: Exception, reason: str) -> Rejected:
    """``reason``, unless the decoder itself found the picture too large."""
    bombs = (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning)
    if isinstance(error, bombs):
        reason = "too_large"
    return Rejected(reason, f"{type(error).__name__}: {error}")


def _orientation(image: ImageFile.ImageFile) -> int:
    """1 (upright) to 8, from the EXIF; always 1 for a TIFF, which the library turns by itself."""
    exif = image.info.get("exif")
    if not isinstance(exif, bytes) or isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1
    return formats.exif_orientation(exif)
