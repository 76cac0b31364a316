"""A small real bundle, for tests that do not need the shipped one.

Keras is imported only when a bundle is made, so other tests start without it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cascade.bundle import Bundle
    from cascade.data.dataset import Pictures
    from cascade.training.settings import TrainingSettings


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``bundle`` that ``make`` writes into a folder, once for all processes of a run.

    ``make`` writes it in one step, when it is complete.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of the whole run
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = root / name
        if not (folder / "bundle").is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
    return folder / "bundle"


def drawn(folder: Path, per_leaf: int, seed: int, split: str) -> Pictures:
    """Decoded drawings of every leaf of the shipped tree."""
    from cascade.data.dataset import decode_items, drawn_items
    from cascade.drawings import write_sample_crawl
    from cascade.pictures.decode import Preprocessing
    from cascade.taxonomy import Taxonomy

    write_sample_crawl(folder, per_leaf, seed, junk=False, labelled=True)
    return decode_items(drawn_items(folder, Taxonomy.load(), split), Preprocessing())


def small_settings(**changes: Any) -> TrainingSettings:
    """Small networks of the original project's architecture, trained in seconds."""
    from cascade.networks.architectures import Architecture
    from cascade.training.settings import settings_for

    settings = replace(
        settings_for("two_convolutions"),
        architecture=Architecture("two_convolutions", {"filters": 6}),
        epochs=10,
        batch_size=32,
        seed=3,
    )
    return replace(settings, **changes)


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle of the shipped tree, trained on a few drawings. Do not write to it.

    Its thresholds are fitted to 60 % precision. It is far better than chance on drawings and
    useless on photographs.
    """

    def make(folder: Path) -> None:
        from cascade.taxonomy import Taxonomy
        from cascade.training.build import TrainingData, build_cascade

        data = TrainingData(
            drawn(folder / "train", 14, 1, "train"),
            drawn(folder / "validation", 4, 2, "validation"),
            Taxonomy.load(),
        )
        build_cascade(data, small_settings(), folder / "bundle", folder / "work", 0.6)

    return made_once(tmp_path_factory, "small-bundle", make)


@pytest.fixture(scope="session")
def quick_bundle(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small bundle with LiteRT, so that a process that labels with it starts quickly."""

    def make(folder: Path) -> None:
        from cascade.conversion import convert

        pixels = drawn(folder / "drawings", 2, 11, "test").pixels
        convert(small_bundle, folder / "bundle", pixels[::2], pixels[1::2])

    return made_once(tmp_path_factory, "quick-bundle", make)


@pytest.fixture(scope="session")
def adaptable_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one small trunk, which ``adapt`` can refit. Do not write to it.

    It has the first blocks of the pretrained trunk with heads that were fitted alone, and names its
    drawings as their own source.
    """

    def make(folder: Path) -> None:
        from cascade.networks.architectures import Architecture
        from cascade.taxonomy import Taxonomy
        from cascade.training.build import TrainingData, build_cascade
        from cascade.training.settings import settings_for

        data = TrainingData(
            drawn(folder / "train", 14, 1, "train"),
            drawn(folder / "validation", 6, 2, "validation"),
            Taxonomy.load(),
        )
        settings = replace(
            settings_for("trunk"),
            architecture=Architecture("trunk", {"blocks": 6}),
            head_only=True,
            seed=3,
        )
        build_cascade(data, settings, folder / "bundle", folder / "work", 0.6)

    return made_once(tmp_path_factory, "adaptable-bundle", make)


def converted_anew(folder: Path, target: Path) -> Bundle:
    """A copy in which LiteRT's float32 files are others, as after another conversion.

    The version and the answers are the same: a byte behind its end changes no TFLite file.
    """
    from cascade.bundle import seal

    shutil.copytree(folder, target)
    for file in target.glob("backends/litert_float32/*.tflite"):
        file.write_bytes(file.read_bytes() + b"\0")
    manifest = json.loads((target / "manifest.json").read_text())
    return seal(target, manifest["training"], manifest["figures"])
