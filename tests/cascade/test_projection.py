"""Vectors of pictures: made by every backend alike, and tied to one trunk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cascade.adaptation.features import features_of, head_weights, read_adaptable, set_head_weights
from cascade.backends import LITERT_FLOAT32, LITERT_INT8, OPENVINO_FLOAT32, TENSORFLOW, installed
from cascade.bundle import PROJECTION, SHIPPED, Bundle, seal
from cascade.classifier import Cascade
from cascade.conversion import convert
from cascade.errors import BundleError
from cascade.networks.serialisation import write_network
from cascade.projection import Projection
from tests.bundles import drawn


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Drawings that no bundle was trained on, ``(N, 120, 90, 3)`` uint8."""
    return drawn(tmp_path_factory.mktemp("drawings"), 3, 13, "test").pixels


@pytest.fixture(scope="module")
def converted(
    adaptable_bundle: Path, pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The adaptable bundle with all backends."""
    folder = tmp_path_factory.mktemp("converted") / "bundle"
    convert(adaptable_bundle, folder, pixels[::2], pixels[1::2])
    return folder


def unit(vectors: np.ndarray) -> np.ndarray:
    numbers = vectors.astype(np.float64)
    found: np.ndarray = numbers / np.linalg.norm(numbers, axis=1, keepdims=True)
    return found


def test_vectors_keep_the_distances_of_whitened_features(
    adaptable_bundle: Path, pixels: np.ndarray
) -> None:
    bundle = Bundle.open(adaptable_bundle)
    projection = Projection.open(bundle)
    values = features_of(read_adaptable(bundle), pixels)
    found = unit(projection.vectors(values))
    # by the definition of whitening, from the covariance of what was fitted
    along = (values.astype(np.float64) - projection.middle) @ projection.directions
    exact = unit(along)
    close = np.abs(exact).max(axis=1) < 0.5  # none of its components is cut off
    assert close.mean() > 0.5
    assert (found * exact).sum(axis=1)[close].min() > 0.99


def test_directions_are_whitened_and_few() -> None:
    random = np.random.default_rng(4)
    shape = np.diag([100.0, 10.0, 1.0, 0.0])
    made = Projection.fit((random.normal(size=(5000, 4)) @ shape + 3).astype(np.float32), "t")
    assert made.directions.shape == (4, 3)  # the fourth says nothing
    along = (random.normal(size=(5000, 4)) @ shape) @ made.directions
    spread = along.std(axis=0)
    np.testing.assert_allclose(spread / spread[0], 1, atol=0.05)
    assert made.vectors(np.full((2, 4), 3, np.float32)).shape == (2, 3)  # the middle has no length


@pytest.mark.parametrize(
    "backend",
    [
        TENSORFLOW,
        LITERT_FLOAT32,
        pytest.param(
            OPENVINO_FLOAT32,
            marks=pytest.mark.skipif(not installed(OPENVINO_FLOAT32), reason="only on x86-64"),
        ),
    ],
)
def test_backends_give_the_same_vectors_and_leave_logits_alone(
    converted: Path, pixels: np.ndarray, backend: str
) -> None:
    bundle = Bundle.open(converted)
    values = features_of(read_adaptable(bundle), pixels)
    exact = unit(Projection.open(bundle).vectors(values))
    cascade = Cascade.load(converted, backend=backend, threads=1, features=True)
    logits, vectors = cascade.logits_and_vectors(pixels)
    assert vectors.dtype == np.int8
    assert (unit(vectors) * exact).sum(axis=1).min() > 0.99
    plain = Cascade.load(converted, backend=backend, threads=1)
    np.testing.assert_array_equal(logits, plain.logits(pixels))
    predictions = cascade.classify(pixels[:5])
    assert [each.vector for each in predictions] == [vector.tobytes() for vector in vectors[:5]]
    assert all(each.vector is None for each in plain.classify(pixels[:5]))
    assert [each.label for each in predictions] == [
        each.label for each in plain.classify(pixels[:5])
    ]
    assert cascade.classify(pixels[:0]) == []
    with pytest.raises(ValueError, match="features=True"):
        plain.logits_and_vectors(pixels)


def test_eight_bits_give_nearly_the_same_vectors(pixels: np.ndarray) -> None:
    exact, found = (
        unit(Cascade.load(backend=backend, features=True).logits_and_vectors(pixels[:20])[1])
        for backend in (LITERT_FLOAT32, LITERT_INT8)
    )
    cosines = (exact * found).sum(axis=1)
    assert 0.95 < cosines.min() < 1


def test_new_heads_keep_the_digest_and_another_trunk_is_refused(
    adaptable_bundle: Path, tmp_path: Path
) -> None:
    digest = Projection.open(Bundle.open(adaptable_bundle)).digest
    folder = tmp_path / "copy"
    shutil.copytree(adaptable_bundle, folder)
    model = read_adaptable(Bundle.open(folder))
    set_head_weights(model, head_weights(model) * 2)
    write_network(folder, 0, model)
    changed = seal(folder, {}, {})
    assert changed.version != Bundle.open(adaptable_bundle).version
    assert Projection.open(changed).digest == digest
    trunk = next(layer for layer in model.layers if layer.trainable_weights)
    trunk.set_weights([weight + 1 for weight in trunk.get_weights()])
    write_network(folder, 0, model)
    with pytest.raises(BundleError, match="fitted to the trunk"):
        Projection.open(seal(folder, {}, {}))


def test_bundles_without_directions_say_what_to_do(small_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="train one with --experiment trunk"):
        Cascade.load(small_bundle, features=True)
    shutil.copytree(SHIPPED, tmp_path / "copy")
    (tmp_path / "copy" / PROJECTION).write_bytes(b"no zip")
    damaged = Bundle.open(tmp_path / "copy", verify=False)
    with pytest.raises(BundleError, match="cannot be read"):
        Projection.open(damaged)


def test_the_shipped_bundle_has_directions_and_its_old_version() -> None:
    bundle = Bundle.open(SHIPPED)
    assert bundle.version == "bcd6ea60c27d2264"  # as it was before
    assert Projection.open(bundle).directions.shape == (1280, 64)
    assert (SHIPPED / PROJECTION).stat().st_size < 250_000
