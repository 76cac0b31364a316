"""Reads and decodes labelled pictures from a folder of folders or a manifest."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from cascade.decisions import DecisionSet
from cascade.errors import DatasetError, TaxonomyError
from cascade.pictures.decode import Preprocessing, load
from cascade.pictures.files import picture_files
from cascade.pictures.formats import sniff
from cascade.taxonomy import Taxonomy
from tabular.errors import TabularError
from tabular.read import read_rows
from tabular.values import text_of

log = logging.getLogger(__name__)

COLUMNS = ("path", "label", "split", "source", "group")
SPLITS = ("train", "validation", "test")
DRAWINGS = "drawings"  # the source of pictures from cascade.drawings
MAX_SOURCES_SHOWN = 20
SNIFFED_BYTES = 64  # enough for `sniff`
MAX_PARENT_LEVELS = 4  # folders above the given one where a hint looks for labels


@dataclass(frozen=True)
class Item:
    """One labelled picture. ``label`` is a path of the taxonomy; parts of it may be ``?``."""

    path: str
    label: str
    split: str | None = None
    source: str = ""
    group: str = ""


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures with what they are: ``pixels`` is ``(N, height, width, 3)`` uint8.

    ``soft_labels`` are a teacher's probabilities for distillation: ``(N, K)`` float32, the outcomes
    of each decision side by side. ``teacher_pixels`` are the same pictures at the input size of a
    teacher that looks at each as it is shown: ``(N, H, W, 3)`` uint8.
    """

    items: tuple[Item, ...]
    pixels: np.ndarray
    rejected: tuple[tuple[Item, str], ...] = ()
    soft_labels: np.ndarray | None = None
    teacher_pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.items)

    def subset(self, rows: np.ndarray) -> Pictures:
        """The pictures of ``rows``: ``(n,)`` row numbers, or an ``(N,)`` bool mask."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        items = tuple(self.items[int(number)] for number in chosen)
        soft_labels = None if self.soft_labels is None else self.soft_labels[chosen]
        larger = None if self.teacher_pixels is None else self.teacher_pixels[chosen]
        return Pictures(items, self.pixels[chosen], soft_labels=soft_labels, teacher_pixels=larger)


def read_labelled_folder(
    folder: str | Path, taxonomy: Taxonomy | None, split: str | None = None
) -> list[Item]:
    """List every picture below ``folder``; the folders in between are its label.

    The files are those that a worker takes (``cascade.pictures.files``). Folders below a leaf
    (``out_of_scope/shirts``) are ignored. Without a taxonomy, the label is the full folder path.
    Raises ``DatasetError`` for a folder that is not a label, or cannot be read. A file that has no
    label and is no picture (``LICENSE``) is left out.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DatasetError(f"{root}: expected a folder whose folders are labels")
    items = []
    for path in _files_below(root):
        parts = path.relative_to(root).parts[:-1]
        try:
            label = "/".join(parts) if taxonomy is None else _label_below(root, path, taxonomy)
        except DatasetError:
            if has_picture_content(path):
                raise
            log.warning("%s left out: it has no label and is no picture", path)
        else:
            items.append(Item(str(path), label, split))
    if not items:
        raise DatasetError(f"{root}: no pictures in it; expected folders like shoes/female/sandals")
    return items


def _files_below(root: Path) -> list[Path]:
    """The files that a worker takes, sorted."""

    def refuse(folder: str, error: OSError) -> None:
        raise DatasetError(
            f"{folder}: the folder cannot be read: {error.strerror}; give it read permission, or "
            "move it away"
        ) from error

    try:
        return sorted(map(Path, picture_files(os.fspath(root), on_unreadable=refuse)))
    except OSError as error:
        raise DatasetError(f"{root}: the folder cannot be read: {error.strerror}") from error


def has_picture_content(path: Path) -> bool:
    """Whether a file begins as a picture does, or cannot be read."""
    if not path.is_file():
        return False  # a pipe would wait for ever
    try:
        with path.open("rb") as file:
            return sniff(file.read(SNIFFED_BYTES)) is not None
    except OSError:
        return True


def read_labelled_manifest(
    manifest: str | Path, taxonomy: Taxonomy | None, encoding: str | None = None
) -> list[Item]:
    """Read a CSV with the columns ``path, label`` and optionally ``split, source, group``.

    Paths are relative to the manifest's folder. The metadata of an ImageFolder
    (``metadata.csv``) has ``file_name`` instead of ``path``. Raises
    ``DatasetError`` with the line number.
    """
    base = Path(manifest).parent
    columns = COLUMNS
    if Path(manifest).stem == "metadata":
        columns = ("file_name", *COLUMNS[1:])
    try:
        return [
            _item(base, place, {name: text_of(values.get(name)) for name in columns}, taxonomy)
            for place, values in read_rows(
                Path(manifest), columns, (columns[0], "label"), encoding=encoding
            )
        ]
    except (TabularError, ValueError) as error:
        raise DatasetError(str(error)) from error


def _item(
    base: Path, place: str, values: Mapping[str, str | None], taxonomy: Taxonomy | None
) -> Item:
    path, label = values.get("path") or values.get("file_name"), (values["label"] or "").strip()
    if not path or not label:
        raise DatasetError(f"{place}: expected a path and a label, received {path!r} and {label!r}")
    split = values["split"] and values["split"].strip()
    if split not in (None, *SPLITS):
        raise DatasetError(f"{place}: expected a split of {SPLITS}, received {split!r}")
    if taxonomy is not None:
        label = _label_of(label.split("/"), taxonomy, place)
    return Item(str(base / path), label, split, values["source"] or "", values["group"] or "")


def read_labelled(
    source: str | Path,
    taxonomy: Taxonomy | None,
    split: str | None = None,
    *,
    encoding: str | None = None,
) -> list[Item]:
    """Read a folder of labels or a manifest.

    Args:
        source: A folder or a file.
        taxonomy: The tree of the labels; None takes labels as they are.
        split: Of a manifest, only the items of this split; of a folder, the split of all items.
        encoding: Of a manifest, see `tabular.lines.text_lines`.

    Raises:
        DatasetError: There are no pictures, or a label is not in the taxonomy.
    """
    if not Path(source).is_file():
        return read_labelled_folder(source, taxonomy, split)
    items = [
        item
        for item in read_labelled_manifest(source, taxonomy, encoding)
        if split is None or item.split == split
    ]
    if not items:
        raise DatasetError(
            f"{source}: no pictures in it" + (f" of split {split!r}" if split else "")
        )
    return items


def without_sources(items: Sequence[Item], patterns: Sequence[str]) -> list[Item]:
    """The items whose source matches none of the shell patterns (``zappos_*``).

    Raises ``DatasetError`` for a pattern that matches no source, and where no item is left.
    """
    sources = {item.source for item in items}
    for pattern in patterns:
        if not any(fnmatchcase(source, pattern) for source in sources):
            known = ", ".join(sorted(sources - {""})[:MAX_SOURCES_SHOWN]) or "none"
            raise DatasetError(
                f"source {pattern!r}: no picture has a source that matches; "
                f"the sources are: {known}"
            )
    left = [i for i in items if not any(fnmatchcase(i.source, each) for each in patterns)]
    if not left:
        raise DatasetError(f"no pictures are left without the sources {', '.join(patterns)}")
    return left


def _label_below(root: Path, path: Path, taxonomy: Taxonomy) -> str:
    """The label of a picture by its folders below ``root``. An error may have a hint."""
    try:
        return _label_of(path.relative_to(root).parts[:-1], taxonomy, path)
    except DatasetError as error:
        if (hint := _label_above(root.resolve(), path.resolve(), taxonomy)) is not None:
            raise DatasetError(f"{error}. {hint}") from None
        raise


def _label_above(root: Path, path: Path, taxonomy: Taxonomy) -> str | None:
    """A hint if the labels begin in a folder above ``root``; else None."""
    for folder in root.parents[:MAX_PARENT_LEVELS]:
        with suppress(DatasetError):
            label = _label_of(path.relative_to(folder).parts[:-1], taxonomy, path)
            return (
                "The labels are the folders below the given one: name "
                f"{folder}, where the label is {label}"
            )
    return None


def _label_of(parts: Sequence[str], taxonomy: Taxonomy, where: object) -> str:
    """The longest beginning of ``parts`` that is a label; parts after a leaf are ignored."""
    for end in range(len(parts), 0, -1):
        text = "/".join(parts[:end])
        try:
            compatible = taxonomy.compatible_leaves(text)
        except TaxonomyError:
            continue
        if end == len(parts) or compatible == (text,):
            return text if "?" in parts else taxonomy.parse(text)
    raise DatasetError(
        f"{where}: {'/'.join(parts)!r} is not a label of the taxonomy; "
        f"expected one like {taxonomy.leaves[0]!r}, or shoes/?/boots for an unknown part"
    )


def decode_items(items: Sequence[Item], preprocessing: Preprocessing, threads: int = 4) -> Pictures:
    """Decode every picture as a worker does. Rejected pictures are listed separately."""
    with ThreadPoolExecutor(threads) as pool:
        loaded = list(pool.map(lambda item: load(item.path, preprocessing), items))
    kept, pixels, rejected = [], [], []
    for item, picture in zip(items, loaded, strict=True):
        if picture.pixels is None:
            rejected.append((item, picture.reason or "unreadable"))
        else:
            kept.append(item)
            pixels.append(picture.pixels)
    if rejected:
        log.warning(
            "%d of %d pictures left out: %s",
            len(rejected),
            len(items),
            Counter(r for _, r in rejected),
        )
    return Pictures(tuple(kept), _stack(pixels, preprocessing), tuple(rejected))


def decode_sample(
    folder: Path, preprocessing: Preprocessing, size: int, seed: int = 20
) -> np.ndarray:
    """Decode a random sample of the pictures below a folder; files that cannot be read are skipped.

    Returns:
        ``(N, height, width, 3)`` uint8, where N is ``size``, or less if there are fewer pictures.
    """
    paths = sorted(map(os.fspath, _files_below(folder)))
    random.Random(seed).shuffle(paths)
    loaded = (load(path, preprocessing).pixels for path in paths)
    sample = itertools.islice((pixels for pixels in loaded if pixels is not None), size)
    return _stack(list(sample), preprocessing)


def _stack(pixels: Sequence[np.ndarray], preprocessing: Preprocessing) -> np.ndarray:
    shape = (0, preprocessing.height, preprocessing.width, 3)
    return np.stack(pixels) if pixels else np.zeros(shape, np.uint8)


def targets(items: Iterable[Item], decisions: DecisionSet, taxonomy: Taxonomy) -> np.ndarray:
    """The target outputs: ``(N, K)`` float32, 1 for each outcome that fits the label, else 0.

    Within a decision, one 1 means that the outcome is known, and several that it is partly known.
    All 0 means that the picture is not below the decision's node.
    """
    columns = [frozenset(taxonomy.leaves_below(outcome)) for outcome in decisions.outcomes]
    rows = []
    cache: dict[str, list[bool]] = {}
    for item in items:
        if item.label not in cache:
            fits = frozenset(taxonomy.compatible_leaves(item.label))
            cache[item.label] = [bool(fits & below) for below in columns]
        rows.append(cache[item.label])
    return np.array(rows, np.float32).reshape(len(rows), len(columns))


def fingerprint(items: Iterable[Item], pixels: np.ndarray) -> str:
    """A hash of labels, splits, groups and decoded pixels, independent of order and paths."""
    digests = sorted(_digest(item, picture) for item, picture in zip(items, pixels, strict=True))
    return hashlib.blake2b(b"".join(digests), digest_size=16).hexdigest()


def fingerprint_in_order(items: Iterable[Item], pixels: np.ndarray) -> str:
    """As `fingerprint`, but another order or other sources give another hash."""
    whole = hashlib.blake2b(digest_size=16)
    for item, picture in zip(items, pixels, strict=True):
        whole.update(_digest(item, picture) + f"{item.source}|".encode())
    return whole.hexdigest()


def _digest(item: Item, picture: np.ndarray) -> bytes:
    about = f"{item.label}|{item.split}|{item.group}|".encode()
    return hashlib.blake2b(about + picture.tobytes(), digest_size=16).digest()


def counts(items: Iterable[Item]) -> dict[str, int]:
    """The number of pictures by label, sorted."""
    return dict(sorted(Counter(item.label for item in items).items()))


def drawn_items(folder: str | Path, taxonomy: Taxonomy, split: str) -> list[Item]:
    """Read drawings written by ``cascade.drawings``, with the source ``DRAWINGS``."""
    return [
        replace(item, source=DRAWINGS) for item in read_labelled_folder(folder, taxonomy, split)
    ]
