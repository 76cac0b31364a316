"""Turns a file into a tensor, the same way for training, evaluation, workers and commands.

A picture is resized to fit into 90 × 120 pixels with its aspect ratio kept, centred, and padded
with white. Or it is rejected with one of ``REASONS``: a bad picture never raises. There is no state
and no change to Pillow's global settings, so any thread may call these functions.
"""

from __future__ import annotations

import hashlib
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

from cascade.pictures import colour_modes, formats, jpeg, png, safe_read
from cascade.pictures.bounded_work import BoundedReader, Deadline, TooMuchWork
from cascade.pictures.colour_modes import Box
from cascade.pictures.preprocessing import Preprocessing, fit
from cascade.pictures.trouble import Trouble

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
    """Why a picture cannot be used: one of ``REASONS``, and a detail for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of loading one file. Exactly one of ``pixels`` and ``reason`` is set.

    Attributes:
        path: The path as given.
        size: In bytes; None if the file could not be opened.
        mtime: Modification time in seconds since 1970; None if the file could not be opened.
        content_hash: BLAKE2b-128 of the bytes in hexadecimal; None if they could not be read.
        pixels: ``(height, width, 3)`` uint8 RGB.
        reason: One of ``REASONS``.
        detail: The reason for people.
        trouble: If set, the file cannot be read for now, and the reason is no verdict on it.
    """

    path: str
    size: int | None
    mtime: float | None
    content_hash: str | None
    pixels: NDArray[np.uint8] | None
    reason: str | None
    detail: str | None
    trouble: Trouble | None = None


def content_hash(data: bytes) -> str:
    """BLAKE2b-128 of the bytes as 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def load(path: str, preprocessing: Preprocessing, roots: Sequence[str] = ()) -> Loaded:
    """Read, hash and decode one file. Never raises because of the file.

    Args:
        path: A file-system path; bytes that are not UTF-8 are surrogate escapes.
        preprocessing: Frame and limits.
        roots: If given, a file that is not below one of them, after following links, is rejected.
    """
    found = safe_read.read(path, preprocessing.max_bytes, roots)
    if found.data is None:
        return Loaded(
            path, found.size, found.mtime, None, None, found.reason, found.detail, found.trouble
        )
    result = decode(found.data, preprocessing)
    digest = content_hash(found.data)
    if isinstance(result, Rejected):
        reason, detail = result.reason, result.detail
        return Loaded(path, found.size, found.mtime, digest, None, reason, detail)
    return Loaded(path, found.size, found.mtime, digest, result, None, None)


def decode(data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8] | Rejected:
    """Decode the bytes of a picture to ``(height, width, 3)`` uint8 RGB, or reject them."""
    deadline = Deadline()
    image = _open(data, preprocessing, deadline)
    if isinstance(image, Rejected):
        return image
    size = image.size
    box = _load(image, data, preprocessing, deadline)
    if isinstance(box, Rejected):
        return box
    if not _has_known_range(image):
        return Rejected("unsupported", f"pixels of mode {image.mode!r}")
    try:
        return _tensor(image, size, box, preprocessing)
    except Exception as error:  # noqa: BLE001 - for example a palette that is not there
        return _rejected(error, "unsupported")


def _tensor(
    image: ImageFile.ImageFile, size: tuple[int, int], box: Box, preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    # Some formats store EXIF after the pixels, so it is complete only now.
    orientation = _orientation(image)
    target = _fit_before_rotation(size, orientation, preprocessing)
    flat, box = colour_modes.flatten(image, box, target, preprocessing.background)
    if flat.size != target:
        shrinks = target[0] < flat.width or target[1] < flat.height
        method = Image.Resampling.HAMMING if shrinks else Image.Resampling.BICUBIC
        flat = flat.resize(target, method, box=box)
    if orientation in _TRANSPOSE:  # after resizing, when it is cheap
        flat = flat.transpose(_TRANSPOSE[orientation])
    canvas = Image.new("RGB", (preprocessing.width, preprocessing.height), preprocessing.background)
    canvas.paste(flat, ((canvas.width - flat.width) // 2, (canvas.height - flat.height) // 2))
    return np.array(canvas, dtype=np.uint8)  # (height, width, 3)


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG, or the first picture of an MPO, that does not read EXIF when it is opened."""

    structure: jpeg.Structure

    def getexif(self) -> Image.Exif:
        """Return no EXIF. Pillow would look for a resolution there and warn of broken EXIF."""
        return Image.Exif()


# The bytes determine the decoder; no other decoder sees the file.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": _Jpeg,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
# Their decoders hold 11 to 16 bytes a pixel at once, and a file of 2 kB may ask for the most.
_HUNGRY = ("WEBP", "AVIF")
_HUNGRY_MAX_PIXELS = 4096 * 4096
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _open(
    data: bytes, preprocessing: Preprocessing, deadline: Deadline
) -> ImageFile.ImageFile | Rejected:
    """Read only the header, and reject what must not be decoded."""
    if not data:
        return Rejected("empty", "no bytes")
    format_name = formats.sniff(data)
    if format_name is None:
        return Rejected("not_an_image", f"begins with {data[:16]!r}")
    if format_name not in _READERS:
        return Rejected("unsupported", f"{format_name} is not decoded here")
    max_pixels = preprocessing.max_pixels
    if format_name in _HUNGRY:
        max_pixels = min(max_pixels, _HUNGRY_MAX_PIXELS)
    # Pillow allocates the canvas of a WebP on opening, so its size is checked before.
    canvas = formats.webp_canvas(data) if format_name == "WEBP" else None
    refusal = _refuse_size(canvas, max_pixels, preprocessing.min_side) if canvas else None
    if refusal is not None:
        return refusal
    try:
        content = png.essential(data) if format_name == "PNG" else data
        structure = jpeg.structure(data) if format_name == "JPEG" else jpeg.Structure()
        jpeg.refuse_too_many_scans(structure)
        image = _READERS[format_name](BoundedReader(content, deadline))
        if isinstance(image, _Jpeg):
            image.structure = structure
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises is the picture's fault
        return _rejected(
            error, "truncated" if formats.is_truncated(format_name, data) else "unsupported"
        )
    return _refuse_size(image.size, max_pixels, preprocessing.min_side) or image


def _refuse_size(size: tuple[int, int], max_pixels: int, min_side: int) -> Rejected | None:
    width, height = size
    if width * height > max_pixels:
        return Rejected("too_large", f"{width} × {height} pixels, more than {max_pixels} in all")
    if min(width, height) < min_side:
        return Rejected("too_small", f"{width} × {height} pixels, a side under {min_side}")
    return None


def _load(
    image: ImageFile.ImageFile, data: bytes, preprocessing: Preprocessing, deadline: Deadline
) -> Box | Rejected:
    """Decode the first frame; a JPEG at the smallest scale that is not below the target size.

    Returns the box that the picture fills, in decoded pixels. If a side is not a multiple of the
    scale, the picture fills the last row or column only in part.
    """
    box: Box = (0, 0, *image.size)
    try:
        if isinstance(image, _Jpeg):
            target = _fit_before_rotation(image.size, _orientation(image), preprocessing)
            drafted = image.draft("RGB", target)
            box = drafted[1] if drafted else box
            jpeg.load(image, data, image.structure, deadline)
        else:
            image.load()
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises is the picture's fault
        return _rejected(error, "truncated")
    return box


def _fit_before_rotation(
    size: tuple[int, int], orientation: int, preprocessing: Preprocessing
) -> tuple[int, int]:
    """The target (width, height) of a picture before it is rotated by its orientation."""
    if orientation < 5:
        return fit(size, preprocessing)
    width, height = fit(size[::-1], preprocessing)  # 5 to 8: rotated by 90 degrees
    return height, width


def _rejected(error: Exception, reason: str) -> Rejected:
    """Reject for ``reason``, or for ``too_large`` if the decoder found the picture too large."""
    bombs = (TooMuchWork, MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning)
    if isinstance(error, bombs):
        reason = "too_large"
    return Rejected(reason, f"{type(error).__name__}: {error}")


_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF 6.0
_UNSIGNED, _SIGNED, _BLACK_IS_ZERO = 1, 2, 1


def _has_known_range(image: ImageFile.ImageFile) -> bool:
    """Whether it is known which values are black and white.

    Pillow gives the same modes to greys of 12 to 32 bits, signed or not, that begin with white or
    with black.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode.startswith("I"):
        tags = image.tag_v2
        if tags.get(_PHOTOMETRIC) != _BLACK_IS_ZERO:
            return False
        kind = tags.get(_BITS, (1,))[0], tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0]
        # Pillow itself writes 16 bits of grey as signed integers of 32
        return kind in ((16, _UNSIGNED), (32, _SIGNED))
    return image.mode in colour_modes.MODES


def _orientation(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1 (upright) to 8. Always 1 for a TIFF, which Pillow rotates itself."""
    exif = image.info.get("exif")
    if not isinstance(exif, bytes) or isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1
    return formats.exif_orientation(exif)
