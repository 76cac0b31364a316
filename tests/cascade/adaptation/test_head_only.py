"""`train --head-only`: heads on a frozen trunk, in an ordinary bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cascade.adaptation.features import read_adaptable
from cascade.adaptation.head_only import IMAGENET
from cascade.adaptation.linear_heads import MainDirections, fit_heads
from cascade.adaptation.refit import logits_of
from cascade.bundle import SHIPPED, Bundle
from cascade.classifier import Cascade
from cascade.data.dataset import Item, decode_items, read_labelled_folder, targets
from cascade.drawings import write_sample_crawl
from cascade.networks.architectures import Architecture, build
from cascade.networks.heads import HEAD
from cascade.taxonomy import Taxonomy
from tests.commands.running import run

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car"])


def test_heads_along_main_directions_are_heads_over_features() -> None:
    random = np.random.default_rng(1)
    leaf = random.integers(0, 4, 200)
    values = (np.eye(30)[leaf] * 5 + random.normal(size=(200, 30)) + 5).astype(np.float32)
    labels = [TREE.leaves[number] for number in leaf]
    fits = targets([Item("", label) for label in labels], TREE.decisions(), TREE)
    directions = MainDirections.of(values[:100])
    heads = fit_heads(directions.along(values[:100]), fits[:100], TREE.decisions())
    found = logits_of(directions.as_weights(heads), values)
    np.testing.assert_allclose(found, directions.along(values) @ heads, atol=1e-3)
    right = fits[100:, :2].argmax(1) == found[100:, :2].argmax(1)
    assert right.mean() > 0.9


def test_weights_decide_between_labels_that_contradict_each_other() -> None:
    along = np.ones((2, 1), np.float32)
    fits = targets([Item("", "pets"), Item("", "toys")], TREE.decisions(), TREE)
    weights = np.array([0.9, 0.1])
    heads = fit_heads(along, fits, TREE.decisions(), weights=weights, penalty=0.0)
    odds = heads[0, 0] - heads[0, 1]
    assert odds == pytest.approx(np.log(9), abs=0.15)


def test_the_trunk_of_a_small_network_stays_that_of_imagenet(adaptable_bundle: Path) -> None:
    bundle = Bundle.open(adaptable_bundle)
    assert bundle.manifest["training"]["trunk"] == IMAGENET
    assert bundle.manifest["training"]["settings"]["head_only"] is True
    frame = bundle.preprocessing
    fresh = build(
        Architecture("trunk", {"blocks": 6}), bundle.decisions, frame.height, frame.width, 3
    )
    for layer, own in zip(fresh.layers, read_adaptable(bundle).layers, strict=True):
        if not layer.name.startswith((HEAD, "dropout")):
            for expected, found in zip(layer.get_weights(), own.get_weights(), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    card = (adaptable_bundle / "MODEL_CARD.md").read_text()
    assert "its heads alone, on the trunk of ImageNet" in card


@pytest.mark.parametrize("experiment", ["student", pytest.param("trunk", marks=pytest.mark.heavy)])
def test_a_folder_of_folders_is_learned_by_the_command(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawings of a tree of their own; others than those that were learned judge."""
    monkeypatch.chdir(tmp_path)
    for name, count, seed in (("learn", 6, 51), ("judge", 3, 52)):
        write_sample_crawl(tmp_path / "all", count, seed, junk=False, labelled=True)
        (tmp_path / name).mkdir()
        (tmp_path / "all" / "glasses").rename(tmp_path / name / "eyewear")
        (tmp_path / "all" / "trousers_jeans" / "male").rename(tmp_path / name / "legs")
    asked = ("train", "learn", "--taxonomy", "folders", "--head-only", "--input-size", "45x60")
    done = run(*asked, "--experiment", experiment, "--out", "made", "--precision", "0.5")
    made = Bundle.open("made")
    assert done.stdout.strip() == f"made: model {made.version}"
    trunk = json.loads(Path("made", "manifest.json").read_text())["training"]["trunk"]
    full = [Bundle.open(SHIPPED).version] if experiment == "trunk" else []
    assert trunk in (IMAGENET, *full)
    assert f"taking {trunk}" in done.stderr
    cascade = Cascade.load(Path("made"), backend="tensorflow")
    items = read_labelled_folder(tmp_path / "judge", cascade.taxonomy)
    pictures = decode_items(items, cascade.preprocessing)
    answers = cascade.classify(pictures.pixels)
    right = [a.best_leaf == i.label for a, i in zip(answers, pictures.items, strict=True)]
    assert len(right) == 12  # 4 leaves
    assert np.mean(right) > 0.7
    assert not Path("made-work").exists()
    other = run(*asked, "--out", "other", "--epochs", "3", "--runs", "2", exit_code=2)
    assert "leave out --epochs, --runs" in other.stderr
    other = run(*asked, "--out", "other", "--experiment", "original", exit_code=2)
    assert "expected a pretrained trunk, received two_convolutions" in other.stderr
