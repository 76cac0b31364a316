"""Features of training pictures that travel with a bundle, so that adapting forgets nothing.

``replay.npz`` holds the features of some training and validation pictures, 8 bits a number, with
their labels and sources. It does not determine labels, so the model version ignores it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cascade.adaptation.features import features_of
from cascade.bundle import PROJECTION, REPLAY, Bundle, add_card_section, seal
from cascade.data.dataset import Item, Pictures
from cascade.errors import BundleError
from cascade.networks.heads import adaptable
from cascade.networks.serialisation import read_network
from cascade.projection import Projection, trunk_digest
from rendering.text import markdown_table

TRAIN, VALIDATION = "train", "validation"
SIZES = {TRAIN: 12_000, VALIDATION: 2500}  # pictures; at 1,280 features about 7 MB
ARRAYS = ("values", "scale", "labels", "sources", "splits")
LEVELS = 255  # of a stored number
CARD_TITLE = "Features that it carries"


@dataclass(frozen=True)
class FeatureSet:
    """Pictures as features, with what they are.

    Attributes:
        values: ``(N, F)`` float32.
        items: The N labels, sources, groups and splits.
        views: ``(V, N, F)`` float32, other views of the same pictures; None if there are none.
    """

    values: np.ndarray
    items: tuple[Item, ...]
    views: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.items)

    def subset(self, rows: np.ndarray) -> FeatureSet:
        """The pictures of ``rows``: ``(n,)`` row numbers, or an ``(N,)`` bool mask."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        views = None if self.views is None else self.views[:, chosen]
        return FeatureSet(self.values[chosen], tuple(self.items[int(n)] for n in chosen), views)

    def of_split(self, split: str) -> FeatureSet:
        """The pictures of one split."""
        return self.subset(np.array([item.split == split for item in self.items], bool))


def replay_rows(items: Sequence[Item], count: int, seed: int = 1) -> np.ndarray:
    """Row numbers of at most ``count`` pictures, sorted.

    Half of them are equally many of each label, so that no rare one is forgotten; the others are
    drawn at random, in the shares of the pictures.
    """
    random = np.random.default_rng(seed)
    shuffled = [int(n) for n in random.permutation(len(items))]
    by_label: dict[str, list[int]] = {}
    for row in shuffled:
        by_label.setdefault(items[row].label, []).append(row)
    each = count // 2 // max(1, len(by_label))
    balanced = [row for same in by_label.values() for row in same[:each]]
    taken = set(balanced)
    # shuffled again: the first rows of a rare label are all taken
    others = [int(row) for row in random.permutation(len(items)) if row not in taken]
    return np.array(sorted(balanced + others[: count - len(balanced)]), int)


def write_replay(folder: Path, features: FeatureSet) -> None:
    """Write ``replay.npz`` into a bundle's folder; ``seal`` it afterwards.

    Each feature has its own scale; the largest error is half a step, 1 / 510 of its range.
    """
    low = features.values.min(axis=0)
    step = np.maximum(features.values.max(axis=0) - low, 1e-9) / LEVELS
    np.savez_compressed(
        folder / REPLAY,
        allow_pickle=False,
        values=np.rint((features.values - low) / step).astype(np.uint8),
        scale=np.stack([low, step]).astype(np.float32),
        labels=np.array([item.label for item in features.items]),
        sources=np.array([item.source for item in features.items]),
        splits=np.array([item.split for item in features.items]),
    )


def read_replay(bundle: Bundle) -> FeatureSet:
    """The features that a bundle carries.

    Raises:
        BundleError: It carries none, or the file cannot be used.
    """
    path = bundle.folder / REPLAY
    if not path.is_file():
        raise BundleError(
            f"{bundle.folder}: carries no features of its training ({REPLAY} is missing), which "
            "adapting needs: use the shipped bundle, or train one with --experiment trunk"
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            values, scale, labels, sources, splits = (stored[name] for name in ARRAYS)
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{path}: cannot be read: {error}; copy the bundle again") from error
    count = len(values)
    if values.ndim != 2 or values.dtype != np.uint8 or scale.shape != (2, values.shape[1]):
        raise BundleError(
            f"{path}: expected 8-bit features with their scale; copy the bundle again"
        )
    if any(len(each) != count for each in (labels, sources, splits)):
        raise BundleError(f"{path}: expected {count} labels, sources and splits; copy it again")
    found = zip(labels.tolist(), sources.tolist(), splits.tolist(), strict=True)
    items = tuple(Item("", label, split, source) for label, source, split in found)
    return FeatureSet((values * scale[1] + scale[0]).astype(np.float32), items)


def add_replay(folder: Path, train: Pictures, validation: Pictures) -> Bundle:
    """Write the features of a bundle's own training and validation pictures into it.

    The model card then names the sources. The model version stays the same. A bundle that cannot be
    adapted stays as it is.

    Args:
        folder: The bundle's folder.
        train: The pictures that it was trained on.
        validation: Pictures that chose its calibration; they show what adapting costs.
    """
    bundle = Bundle.open(folder)
    if len(bundle.decisions_of_network) > 1:
        return bundle
    model = read_network(folder, 0)
    if not adaptable(model):
        return bundle
    parts = []
    for split, pictures in ((TRAIN, train), (VALIDATION, validation)):
        chosen = pictures.subset(replay_rows(pictures.items, SIZES[split]))
        items = tuple(replace(item, path="", group="", split=split) for item in chosen.items)
        parts.append(FeatureSet(features_of(model, chosen.pixels), items))
    features = joined(parts)
    write_replay(folder, features)
    seal(folder, bundle.manifest.get("training", {}), bundle.manifest.get("figures", {}))
    add_card_section(folder, CARD_TITLE, _card_text(features))
    return add_projection(folder)


def add_projection(folder: Path) -> Bundle:
    """Write the main directions of the training features that a bundle carries into it.

    The model version stays the same. They are the same for every bundle with this trunk and these
    features, so ``adapt`` only copies them.

    Raises:
        BundleError: It carries no features.
    """
    bundle = Bundle.open(folder)
    values = read_replay(bundle).of_split(TRAIN).values
    Projection.fit(values, trunk_digest(bundle)).write(folder)
    return seal(folder, bundle.manifest.get("training", {}), bundle.manifest.get("figures", {}))


def joined(parts: Sequence[FeatureSet]) -> FeatureSet:
    """Several sets as one, in order."""
    items = tuple(item for part in parts for item in part.items)
    return FeatureSet(np.concatenate([part.values for part in parts]), items)


def _card_text(features: FeatureSet) -> str:
    counted = Counter((item.source or "(no source)", item.split) for item in features.items)
    rows = [
        (source, *(str(counted[source, split]) for split in (TRAIN, VALIDATION)))
        for source in sorted({source for source, _ in counted})
    ]
    return (
        f"`{REPLAY}` holds the features of {len(features):,} pictures "
        f"({features.values.shape[1]:,} numbers of 8 bits each, averaged over the picture), with "
        "their labels and sources, so that `adapt` does not forget them. No picture can be rebuilt "
        f"from them. `{PROJECTION}` has their main directions, for short vectors of pictures. "
        "The terms of the pictures are those above.\n\n"
        + markdown_table(("source", TRAIN, VALIDATION), rows)
    )
