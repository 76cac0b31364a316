"""The features that a bundle carries for adapting."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cascade.adaptation.features import (
    features_of,
    head_weights,
    read_adaptable,
    set_head_weights,
)
from cascade.adaptation.replay import FeatureSet, add_replay, read_replay, replay_rows, write_replay
from cascade.bundle import REPLAY, SHIPPED, Bundle
from cascade.classifier import Cascade
from cascade.data.dataset import Item, Pictures
from cascade.errors import BundleError, BundleTampered
from cascade.evaluation.predictions import all_logits
from tests.bundles import drawn


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """The validation drawings of ``adaptable_bundle``."""
    return drawn(tmp_path_factory.mktemp("drawings"), 6, 2, "validation")


def test_heads_over_features_are_the_network(adaptable_bundle: Path, pictures: Pictures) -> None:
    cascade = Cascade.load(adaptable_bundle, backend="tensorflow")
    model = read_adaptable(cascade.bundle)
    weights = head_weights(model)
    found = features_of(model, pictures.pixels) @ weights[:-1] + weights[-1]
    np.testing.assert_allclose(found, all_logits(cascade, pictures.pixels), atol=1e-3)
    set_head_weights(model, weights * 2)
    np.testing.assert_array_equal(head_weights(model), weights * 2)


def test_train_writes_the_features_of_its_pictures(
    adaptable_bundle: Path, pictures: Pictures
) -> None:
    bundle = Bundle.open(adaptable_bundle)
    replay = read_replay(bundle)
    trained = bundle.manifest["training"]["pictures"]
    assert Counter(i.label for i in replay.of_split("train").items) == trained
    own = replay.of_split("validation")
    assert [item.label for item in own.items] == [item.label for item in pictures.items]
    assert {item.source for item in own.items} == {"drawings"}
    assert not any(item.path or item.group for item in replay.items)
    exact = features_of(read_adaptable(bundle), pictures.pixels)
    step = np.ptp(replay.values, axis=0) / 255
    assert (np.abs(own.values - exact) <= step / 2 + 1e-5).all()
    card = (adaptable_bundle / "MODEL_CARD.md").read_text()
    assert f"| drawings | {sum(trained.values())} | {len(pictures)} |" in card


def test_features_change_no_version_and_are_verified(
    adaptable_bundle: Path, pictures: Pictures, tmp_path: Path
) -> None:
    before = Bundle.open(adaptable_bundle).version
    shutil.copytree(adaptable_bundle, tmp_path / "copy")
    few = pictures.subset(np.arange(20))
    made = add_replay(tmp_path / "copy", few, few)
    assert made.version == before
    assert len(read_replay(made)) == 40
    assert (tmp_path / "copy" / "MODEL_CARD.md").read_text().count("## Features that it") == 1
    (tmp_path / "copy" / REPLAY).write_bytes(b"changed")
    with pytest.raises(BundleTampered, match=REPLAY):
        Bundle.open(tmp_path / "copy")
    with pytest.raises(BundleError, match="cannot be read"):
        read_replay(made)
    (tmp_path / "copy" / REPLAY).unlink()
    with pytest.raises(BundleError, match="carries no features"):
        read_replay(made)


def test_a_bundle_of_several_networks_carries_none(small_bundle: Path, pictures: Pictures) -> None:
    assert not (small_bundle / REPLAY).exists()
    bundle = Bundle.open(small_bundle)
    assert add_replay(small_bundle, pictures, pictures).manifest == bundle.manifest
    with pytest.raises(BundleError, match="one network for all decisions"):
        read_adaptable(bundle)


def test_half_of_the_rows_are_equally_many_of_each_label() -> None:
    items = [Item("", "many" if n % 10 else "few") for n in range(1000)]
    rows = replay_rows(items, 100)
    found = Counter(items[row].label for row in rows)
    assert len(rows) == len(set(rows.tolist())) == 100
    assert 25 < found["few"] < 40  # 25, and a tenth of the others
    assert len(replay_rows(items, 5000)) == 1000
    assert len(replay_rows([], 10)) == 0


def test_constant_features_are_stored_exactly(tmp_path: Path, adaptable_bundle: Path) -> None:
    values = np.tile(np.array([[0.5, 0.0]], np.float32), (3, 1))
    write_replay(tmp_path, FeatureSet(values, (Item("", "a", "train"),) * 3))
    read = read_replay(Bundle(tmp_path, {}, ""))
    np.testing.assert_array_equal(read.values, values)


def test_the_shipped_bundle_carries_features_of_its_own_sources_alone() -> None:
    bundle = Bundle.open(SHIPPED)
    assert bundle.version == "bcd6ea60c27d2264"  # as it was before the features were added
    assert (SHIPPED / REPLAY).stat().st_size <= 8e6
    replay = read_replay(bundle)
    sources = {item.source for item in replay.items}
    assert sources <= set(bundle.manifest["training"]["sources"])
    card = (SHIPPED / "MODEL_CARD.md").read_text()
    assert all(f"| {source} | " in card for source in sources)
    assert all(bundle.taxonomy.compatible_leaves(item.label) for item in replay.items)
