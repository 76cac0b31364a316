"""Reads labelled pictures from a ``.npz`` file, the format of the original project."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from cascade.data.dataset import Item, Pictures
from cascade.errors import DatasetError, TaxonomyError
from cascade.pictures.decode import Preprocessing, Rejected, decode
from cascade.taxonomy import UNKNOWN, Taxonomy


def read_npz(path: str | Path, taxonomy: Taxonomy, preprocessing: Preprocessing) -> Pictures:
    """Read the pictures of a ``.npz`` file.

    Its arrays are:

    - ``images``: ``(N, height, width, 3)``, uint8 or floats from 0 to 1;
    - ``labels``: ``(N,)`` text or numbers. A label is a label of the taxonomy in any spelling, or
      only its type, or ``category-type``;
    - ``classes``: the names of labels that are numbers;
    - ``genders``: ``(N,)`` text, optional. Without it, a label that does not tell the gender is
      partly known.

    Raises:
        DatasetError: An array is missing, does not fit the others, or is pickled; or a label is
            unknown.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path}: expected plain arrays images and labels; pickles are refused: {error}"
        ) from error
    if not {"images", "labels"} <= arrays.keys():
        raise DatasetError(f"{path}: expected the arrays images and labels, found {list(arrays)}")
    images, names = _images(arrays["images"], path), _names(arrays, path)
    genders = arrays.get("genders")
    if len(images) != len(names) or (genders is not None and len(genders) != len(names)):
        raise DatasetError(
            f"{path}: {len(images)} images, {len(names)} labels"
            + ("" if genders is None else f", {len(genders)} genders")
            + ": expected as many of each"
        )
    items, pixels, rejected = [], [], []
    for number, name in enumerate(names):
        gender = "" if genders is None else str(genders[number])
        label = _label(name, gender, taxonomy, f"{path}, number {number}")
        item = Item(f"{path}#{number}", label)
        picture = _fit_to_frame(images[number], preprocessing)
        if isinstance(picture, Rejected):
            rejected.append((item, picture.reason))
        else:
            items.append(item)
            pixels.append(picture)
    if not items:
        raise DatasetError(f"{path}: no picture in it can be used")
    return Pictures(tuple(items), np.stack(pixels), tuple(rejected))


def _images(images: np.ndarray, path: str | Path) -> np.ndarray:
    if images.ndim != 4 or images.shape[-1] != 3:
        raise DatasetError(f"{path}: images: expected (N, height, width, 3), found {images.shape}")
    if images.dtype == np.uint8:
        return images
    if images.size and images.min() >= 0 and images.max() <= 1 and images.dtype.kind == "f":
        return np.round(images * 255).astype(np.uint8)
    raise DatasetError(
        f"{path}: images: expected uint8, or floats from 0 to 1; found {images.dtype} "
        f"from {images.min() if images.size else '-'} to {images.max() if images.size else '-'}"
    )


def _names(arrays: Mapping[str, np.ndarray], path: str | Path) -> list[str]:
    labels = arrays["labels"]
    if labels.dtype.kind in "US":
        return [
            str(np.char.decode(x, "utf-8")) if labels.dtype.kind == "S" else str(x)
            for x in labels.ravel()
        ]
    classes = arrays.get("classes")
    if labels.dtype.kind not in "iu" or classes is None:
        raise DatasetError(
            f"{path}: labels are {labels.dtype}: expected text, or whole numbers with an array "
            "`classes` of their names"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < len(classes):
        raise DatasetError(
            f"{path}: labels from {labels.min()} to {labels.max()}, but {len(classes)} classes"
        )
    return [str(classes[number]) for number in labels.ravel()]


def _fit_to_frame(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray | Rejected:
    """A picture of the frame's size unchanged; another one resized as files are."""
    if image.shape[:2] == (preprocessing.height, preprocessing.width):
        return image
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return decode(buffer.getvalue(), preprocessing)


def _label(name: str, gender: str, taxonomy: Taxonomy, where: str) -> str:
    """The leaf that a name and a gender mean, or a partly known label without the gender."""
    if not gender:
        try:
            return taxonomy.parse(name)
        except TaxonomyError:
            pass  # not a complete label, perhaps only the type
    wanted, of = _normalised(name), _normalised(gender)
    found = []
    for leaf in taxonomy.leaves:
        levels = taxonomy.levels(leaf)
        own = _normalised(levels["gender"] or "")
        without = [part for part in leaf.split("/") if _normalised(part) != own]
        spellings = {
            _normalised(leaf),
            _normalised("/".join(without)),
            _normalised(leaf.rsplit("/", 1)[-1]),
        }
        if wanted in spellings and own in ("", of or own):
            found.append(leaf)
    if len(found) == 1:
        return found[0]
    patterns = {_gender_unknown(leaf, taxonomy) for leaf in found}
    if len(patterns) == 1 and not of:
        return patterns.pop()
    raise DatasetError(
        f"{where}: label {name!r} with gender {gender!r} "
        + (f"could be {', '.join(found)}" if found else "is not in the taxonomy")
        + f"; expected one like {taxonomy.leaves[0]!r}"
    )


def _gender_unknown(leaf: str, taxonomy: Taxonomy) -> str:
    gender = taxonomy.levels(leaf)["gender"]
    return "/".join(UNKNOWN if part == gender else part for part in leaf.split("/"))


def _normalised(text: str) -> str:
    return text.strip().casefold().replace("-", "/")
