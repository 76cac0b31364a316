"""How a picture becomes a tensor: the settings that a bundle carries, and the fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import PIL

from cascade.errors import BundleError

DECODER = "pillow"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes a tensor; part of a bundle, since the networks were trained on it.

    Sides in pixels, ``background`` an RGB triple of 0 to 255. ``max_pixels`` and ``max_bytes``
    bound the memory that one picture can cost. ``decoder`` and ``decoder_version`` name the
    library that made the training pixels: another one gives slightly different pixels.
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
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        colours = self.background
        if len(colours) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in colours):
            raise ValueError(f"background must be three numbers of 0 to 255, not {colours!r}")
        if self.decoder != DECODER:
            raise ValueError(f"decoder must be {DECODER!r}, not {self.decoder!r}")

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` can write and ``from_json`` reads back."""
        return asdict(self) | {"background": list(self.background)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Reads what ``to_json`` wrote; raises BundleError that names what is wrong."""
        expected = {entry.name for entry in fields(cls)}
        if set(values) != expected:
            missing, unknown = sorted(expected - set(values)), sorted(set(values) - expected)
            raise BundleError(
                f"preprocessing: missing {missing}, unknown {unknown}; this bundle was written by "
                "another version of fashion-cascade: install that version or train it anew"
            )
        try:
            return cls(**{**values, "background": tuple(values["background"])})
        except (TypeError, ValueError) as error:
            raise BundleError(f"preprocessing: {error}; mend the file or train anew") from error


def fit(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """The (width, height) in pixels of a picture of ``size`` scaled into the frame, at least 1."""
    (width, height), (wide, high) = size, (preprocessing.width, preprocessing.height)
    if width * high >= height * wide:  # as wide as the frame; halves round up
        return wide, max(1, (2 * height * wide + width) // (2 * width))
    return max(1, (2 * width * high + height) // (2 * height)), high
