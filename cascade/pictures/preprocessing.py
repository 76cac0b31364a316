"""The preprocessing settings of a bundle, and the size of a resized picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import PIL

from cascade.errors import BundleError

DECODER = "pillow"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes a tensor. Part of a bundle, because the networks were trained with it.

    Attributes:
        width: Of the tensor, in pixels.
        height: Of the tensor, in pixels.
        background: RGB, 0 to 255, for the padding and for transparent pixels.
        min_side: A picture with a shorter side, in pixels, is rejected.
        max_pixels: A picture with more pixels is rejected. Bounds the memory of one picture.
        max_bytes: A file with more bytes is rejected. Bounds the memory of one picture.
        decoder: The library that decoded the training pictures. Another one gives slightly
            different pixels.
        decoder_version: Its version.
    """

    width: int = 90
    height: int = 120
    background: tuple[int, int, int] = (255, 255, 255)
    min_side: int = 16
    max_pixels: int = 50_000_000
    max_bytes: int = 64 * 1024 * 1024
    decoder: str = DECODER
    decoder_version: str = field(default=PIL.__version__)

    def __post_init__(self) -> None:
        for name in ("width", "height", "min_side", "max_pixels", "max_bytes"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, received {value!r}")
        colours = self.background
        if len(colours) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in colours):
            raise ValueError(f"background: expected 3 numbers, 0 to 255, received {colours!r}")
        if self.decoder != DECODER:
            raise ValueError(f"decoder: expected {DECODER!r}, received {self.decoder!r}")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values; ``from_json`` reads them back."""
        return asdict(self) | {"background": list(self.background)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read the output of ``to_json``. Raises ``BundleError`` if it is not valid."""
        expected = {entry.name for entry in fields(cls)}
        if set(values) != expected:
            missing, unknown = sorted(expected - set(values)), sorted(set(values) - expected)
            raise BundleError(
                f"preprocessing: missing {missing}, unknown {unknown}; this bundle was written by "
                "another version of fashion-cascade: install that version or train a new one"
            )
        try:
            return cls(**{**values, "background": tuple(values["background"])})
        except (TypeError, ValueError) as error:
            raise BundleError(f"preprocessing: {error}; train a new bundle") from error


def fit(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """The (width, height) of a picture of ``size``, scaled to fit the frame; at least 1 pixel."""
    (width, height), (wide, high) = size, (preprocessing.width, preprocessing.height)
    if width * high >= height * wide:  # the width fills the frame; halves round up
        return wide, max(1, (2 * height * wide + width) // (2 * width))
    return max(1, (2 * width * high + height) // (2 * height)), high
