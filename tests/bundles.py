"""A small real bundle for tests to which the shipped one is not the point."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade.building import Material, build_cascade
from cascade.dataset import Pictures, decode_items, drawn_items
from cascade.drawings import write_sample_crawl
from cascade.images import Preprocessing
from cascade.networks import Architecture
from cascade.taxonomy import Taxonomy
from cascade.training import TrainingSettings, settings_for


def drawn(folder: Path, per_leaf: int, seed: int, split: str) -> Pictures:
    """Decoded drawings of every leaf of the shipped tree."""
    write_sample_crawl(folder, per_leaf, seed, junk=False, labelled=True)
    return decode_items(drawn_items(folder, Taxonomy.load(), split), Preprocessing())


def small_settings(**changes: object) -> TrainingSettings:
    """Small networks of the original's kind, trained in seconds."""
    from dataclasses import replace

    settings = replace(
        settings_for("two_convolutions"),
        architecture=Architecture("two_convolutions", {"filters": 6}),
        epochs=10,
        batch_size=32,
        seed=3,
    )
    return replace(settings, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle of the shipped tree, trained on a few drawings: read only.

    Its labels stop where it is 60 % sure. It answers far better than chance on drawings and knows
    nothing of photographs.
    """
    folder = tmp_path_factory.mktemp("small-bundle")
    material = Material(
        drawn(folder / "train", 14, 1, "train"),
        drawn(folder / "validation", 4, 2, "validation"),
        Taxonomy.load(),
    )
    build_cascade(material, small_settings(), folder / "bundle", folder / "work", 0.6)
    return folder / "bundle"
