"""Drawings: one of each leaf, reproducible by seed, each with the features of its leaf."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from cascade.drawings import LEAVES, render, write_sample_crawl
from cascade.pictures.decode import Preprocessing, load
from cascade.taxonomy import Taxonomy


def test_there_is_a_drawing_of_each_leaf_of_the_shipped_tree() -> None:
    tree = Taxonomy.load()
    assert sorted(LEAVES) == sorted({*tree.leaves, tree.out_of_scope})
    assert len(LEAVES) == 18


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_drawing_depends_only_on_its_seed(leaf: str) -> None:
    first = render(leaf, 3)
    assert first.mode == "RGB"
    assert first.size == (240, 320)
    assert first.tobytes() == render(leaf, 3).tobytes()
    assert len({hashlib.sha256(render(leaf, seed).tobytes()).digest() for seed in range(5)}) == 5


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf != "out_of_scope"])
def test_a_figure_is_complete_on_a_light_background(leaf: str) -> None:
    """Nothing of it is cut off by the border, and it fills a good part of the canvas."""
    for seed in range(3):
        pixels = np.asarray(render(leaf, seed)).astype(int)  # (320, 240, 3)
        ground = pixels[0, 0]
        assert ground.min() >= 228
        figure = np.abs(pixels - ground).max(axis=2) > 30
        assert not figure[[0, -1]].any()
        assert not figure[:, [0, -1]].any()
        rows, columns = np.flatnonzero(figure.any(axis=1)), np.flatnonzero(figure.any(axis=0))
        high, wide = (rows[-1] - rows[0]) / 320, (columns[-1] - columns[0]) / 240
        assert max(high, wide) > 0.6


def test_lenses_of_sunglasses_are_dark_and_those_of_spectacles_clear() -> None:
    def middle(leaf: str, seed: int) -> float:
        """Brightness where a lens must be: beside the middle of the picture's dark box."""
        grey = np.asarray(render(leaf, seed).convert("L")).astype(int)
        figure = grey < 200
        rows, columns = np.flatnonzero(figure.any(axis=1)), np.flatnonzero(figure.any(axis=0))
        row = rows[0] + (rows[-1] - rows[0]) * 2 // 3
        column = columns[0] + (columns[-1] - columns[0]) // 4
        return float(np.median(grey[row - 4 : row + 5, column - 4 : column + 5]))

    for seed in range(8):
        assert middle("glasses/sunglasses", seed) < 120
        assert middle("glasses/optical", seed) > 180


def test_a_leaf_without_a_drawing_is_refused() -> None:
    with pytest.raises(ValueError, match="glasses/monocle"):
        render("glasses/monocle", 0)


def test_flat_crawl_with_broken_files(tmp_path: Path) -> None:
    written = write_sample_crawl(tmp_path / "crawl", 2, seed=1)
    assert sorted(written) == sorted((tmp_path / "crawl").iterdir())
    assert len(written) == 18 * 2 + 3
    reasons = [load(str(path), Preprocessing()).reason for path in written]
    assert reasons[:-3] == [None] * 36
    assert sorted(map(str, reasons[-3:])) == ["empty", "not_an_image", "truncated"]
    assert not any("shoes" in path.name for path in written)


def test_labelled_crawl(tmp_path: Path) -> None:
    written = write_sample_crawl(tmp_path, 2, seed=1, junk=False, labelled=True)
    assert {str(path.parent.relative_to(tmp_path)) for path in written} == set(LEAVES)
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(written) == 36


def test_a_second_crawl_touches_nothing_and_another_seed_does(tmp_path: Path) -> None:
    first = write_sample_crawl(tmp_path, 1, seed=1)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in first}
    assert write_sample_crawl(tmp_path, 1, seed=1) == first
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in first} == before
    contents = {path.name: path.read_bytes() for path in first}
    write_sample_crawl(tmp_path, 1, seed=2)
    assert {path.name: path.read_bytes() for path in first} != contents
