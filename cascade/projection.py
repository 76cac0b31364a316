"""Short vectors of pictures: features along their main directions, 8 bits a number.

A bundle's ``projection.npz`` has the directions, fitted to the features of training that the bundle
carries. Two pictures that look alike have vectors with a cosine near 1. The vectors are for search;
they determine no label, so the model version ignores the file.

The directions are whitened (Jégou and Chum 2012, *Negative evidences and co-occurrences in image
retrieval*): a direction counts by how unusual a picture is along it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cascade.bundle import PROJECTION, Bundle, hash_file
from cascade.errors import BundleError

DIMENSIONS = 64
HEAD = "decide_"  # the weights of a head have names that begin so
LARGEST = 127
STEPS = 254.0  # of a vector of length 1; a component beyond one half is cut off
ARRAYS = ("middle", "directions", "trunk")


@dataclass(frozen=True)
class Projection:
    """Directions of features.

    Attributes:
        middle: ``(F,)`` float32, the mean of the fitted features.
        directions: ``(F, D)`` float32, whitened; D is at most ``DIMENSIONS``.
        trunk: The digest of the trunk whose features were fitted.
    """

    middle: np.ndarray
    directions: np.ndarray
    trunk: str

    @classmethod
    def fit(cls, features: np.ndarray, trunk: str) -> Projection:
        """The main directions of ``(N, F)`` features."""
        middle = features.mean(axis=0, dtype=np.float64)
        centred = features - middle
        powers, directions = np.linalg.eigh(centred.T @ centred / max(1, len(centred)))
        kept = np.flatnonzero(powers > 1e-6 * max(float(powers[-1]), 1e-12))[::-1][:DIMENSIONS]
        # relative to the largest power: vectors have one length, and float16 a limit
        whitened = directions[:, kept] * np.sqrt(powers[-1] / powers[kept])
        # as they are stored: the file has to give the same vectors
        return cls(middle.astype(np.float32), _stored(whitened).astype(np.float32), trunk)

    @classmethod
    def open(cls, bundle: Bundle) -> Projection:
        """The projection of a bundle.

        Raises:
            BundleError: It has none, the file cannot be used, or it is of another trunk.
        """
        path = bundle.folder / PROJECTION
        if not path.is_file():
            raise BundleError(
                f"{bundle.folder}: carries no directions of its features ({PROJECTION} is "
                "missing), which vectors of pictures need: use the shipped bundle, or train one "
                "with --experiment trunk"
            )
        try:
            with np.load(path, allow_pickle=False) as stored:
                middle, directions, trunk = (stored[name] for name in ARRAYS)
        except (OSError, ValueError, KeyError) as error:
            raise BundleError(f"{path}: cannot be read: {error}; copy the bundle again") from error
        if middle.ndim != 1 or directions.ndim != 2 or len(directions) != len(middle):
            raise BundleError(f"{path}: expected (F, D) directions and (F,) their middle")
        found = trunk_digest(bundle)
        if str(trunk) != found:
            raise BundleError(
                f"{path}: was fitted to the trunk {trunk}, the bundle has {found}: "
                "train or adapt the bundle again"
            )
        return cls(middle.astype(np.float32), directions.astype(np.float32), found)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits. Vectors can be compared only if this is the same."""
        found = hashlib.sha256(self.trunk.encode())
        found.update(self.middle.tobytes())
        found.update(self.directions.tobytes())
        return found.hexdigest()[:16]

    def vectors(self, features: np.ndarray) -> np.ndarray:
        """``(N, F)`` float32 features to ``(N, D)`` int8 vectors, all about ``STEPS`` long."""
        along = (features - self.middle) @ self.directions
        length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        result: np.ndarray = np.rint(along / length * STEPS).clip(-LARGEST, LARGEST).astype(np.int8)
        return result

    def write(self, folder: Path) -> None:
        """Write ``projection.npz`` into a bundle's folder; ``seal`` it afterwards."""
        np.savez_compressed(
            folder / PROJECTION,
            allow_pickle=False,
            middle=self.middle,
            directions=_stored(self.directions),
            trunk=np.array(self.trunk),
        )


def trunk_digest(bundle: Bundle) -> str:
    """16 hexadecimal digits of a hash of what makes features: all weights but those of the heads.

    A bundle with refitted heads has the same.
    """
    found = hashlib.sha256(hash_file(bundle.folder / "preprocessing.json").encode())
    path = bundle.folder / "networks" / "0.npz"
    try:
        with np.load(path, allow_pickle=False) as weights:
            for name in sorted(name for name in weights.files if not name.startswith(HEAD)):
                values = weights[name]
                found.update(f"{name} {values.dtype} {values.shape}\n".encode())
                found.update(values.tobytes())
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}; copy the bundle again") from error
    return found.hexdigest()[:16]


def _stored(directions: np.ndarray) -> np.ndarray:
    return directions.astype(np.float16)
