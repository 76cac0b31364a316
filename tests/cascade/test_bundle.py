"""A bundle is verified before use and contains no executable code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from cascade.bundle import Bundle, BundleParts, add_card_section, seal, write_parts
from cascade.classifier import Cascade
from cascade.errors import BundleError, BundleTampered
from cascade.networks.architectures import Architecture, build, networks_of
from cascade.networks.serialisation import read_network, write_network
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/car", "toys/ball", "none"], "none")
FRAME = Preprocessing(width=18, height=24)


def make_bundle(folder: Path, form: str = "combined") -> Bundle:
    """A real bundle of untrained two-convolution networks."""
    decisions = TREE.decisions(form)
    architecture = Architecture("two_convolutions", {"filters": 4})
    networks = networks_of(architecture, decisions)
    write_parts(folder, BundleParts(TREE, FRAME, form, decisions, range(len(networks))))
    for number, decided in enumerate(networks):
        model = build(architecture, decided, FRAME.height, FRAME.width, seed=number)
        write_network(folder, number, model)
    return seal(folder, {"seed": 1}, {})


def reseal(folder: Path) -> None:
    seal(folder, {}, {})


def test_bundle_round_trip(tmp_path: Path) -> None:
    made = make_bundle(tmp_path)
    opened = Bundle.open(tmp_path)
    assert (
        opened.version
        == made.version
        == json.loads((tmp_path / "manifest.json").read_text())["version"]
    )
    assert opened.taxonomy == TREE
    assert opened.preprocessing == FRAME
    assert opened.routing.decisions == TREE.decisions()
    assert opened.manifest["training"] == {"seed": 1}


def test_version_depends_on_what_determines_the_labels(tmp_path: Path) -> None:
    first, second = make_bundle(tmp_path / "a"), make_bundle(tmp_path / "b")
    assert first.version == second.version
    calibration = tmp_path / "b" / "calibration.json"
    calibration.write_text('{"temperatures": {"": 1.5}, "thresholds": {}}')
    reseal(tmp_path / "b")
    assert Bundle.open(tmp_path / "b").version != first.version


@pytest.mark.parametrize("name", ["MODEL_CARD.md", "backends/other/0.bin"])
def test_card_and_backends_keep_the_version_but_are_verified(tmp_path: Path, name: str) -> None:
    before = make_bundle(tmp_path).version
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")
    reseal(tmp_path)
    assert Bundle.open(tmp_path).version == before
    path.write_text("changed again")
    with pytest.raises(BundleTampered, match=name):
        Bundle.open(tmp_path)


@pytest.mark.parametrize(
    "name", ["taxonomy.json", "networks/0.npz", "networks/1.json", "calibration.json"]
)
def test_a_changed_or_missing_file_is_named(tmp_path: Path, name: str) -> None:
    make_bundle(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleTampered, match=name):
        Cascade.load(tmp_path)
    path.unlink()
    with pytest.raises(BundleTampered, match=name):
        Cascade.load(tmp_path)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "format"),
        ('{"format": 9, "files": {}}', "format 1"),
        ('{"format": 1}', "files"),
        ('{"format": 1, "files": {"a": 1}}', "files"),
        ("[" * 100_000, "cannot be read"),
        ('{"format": 1, "files": {"../x": "0"}}', "outside"),
    ],
)
def test_a_folder_that_is_not_a_bundle_is_refused(tmp_path: Path, manifest: str, says: str) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is missing.*train"):
        Bundle.open(tmp_path)
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(BundleError, match=says):
        Bundle.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("decisions.json", "[]"),
        ("decisions.json", "[" * 100_000),
        ("decisions.json", '{"decisions": []}'),
        ("decisions.json", '{"decisions": [{"node": "", "outcomes": ["a", "b"]}]}'),
        ("decisions.json", '{"decisions": [{"node": "", "outcomes": ["a"], "network": 9e99}]}'),
        ("decisions.json", '{"decisions": [{"node": "", "outcomes": ["a"], "network": 1}]}'),
        ("decisions.json", '{"decisions": [{"node": "", "outcomes": [1], "network": 0}]}'),
        ("calibration.json", "null"),
        ("calibration.json", '{"decoding": "guess"}'),
        ("calibration.json", '{"decoding": []}'),
        ("calibration.json", '{"temperatures": {"": NaN}}'),
        ("calibration.json", '{"thresholds": {"shoes": "0.5"}}'),
        ("preprocessing.json", "7"),
    ],
)
def test_an_invalid_part_with_the_right_hash_is_refused_by_name(
    tmp_path: Path, name: str, content: str
) -> None:
    make_bundle(tmp_path)
    (tmp_path / name).write_text(content)
    bundle = seal(tmp_path, {}, {})
    with pytest.raises(BundleError, match=re.escape(name)):
        assert bundle.routing and bundle.decisions_of_network and bundle.preprocessing


def test_a_lambda_layer_is_refused_before_it_is_built(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    inputs = keras.Input((24, 18, 3), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Lambda(lambda x: x / 2)(inputs))
    evil = keras.Model(inputs, keras.layers.Dense(3)(x))
    (tmp_path / "networks" / "0.json").write_text(evil.to_json())
    reseal(tmp_path)
    with pytest.raises(BundleError, match="Lambda is refused"):
        Cascade.load(tmp_path)


def test_a_lambda_hidden_in_a_nested_model_is_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    inner_in = keras.Input((24, 18, 3))
    inner = keras.Model(inner_in, keras.layers.Lambda(lambda x: x + 1)(inner_in))
    inputs = keras.Input((24, 18, 3), dtype="uint8")
    x = keras.layers.Flatten()(inner(keras.layers.Rescaling(1.0)(inputs)))
    evil = keras.Model(inputs, keras.layers.Dense(3)(x))
    (tmp_path / "networks" / "0.json").write_text(evil.to_json())
    with pytest.raises(BundleError, match="Lambda is refused"):
        read_network(tmp_path, 0)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    path = tmp_path / "networks" / "0.npz"
    with np.load(path) as stored:
        names = stored.files
    np.savez(path, allow_pickle=True, **{name: np.array([{}], object) for name in names})
    reseal(tmp_path)
    with pytest.raises(BundleError, match="pickles are refused"):
        Cascade.load(tmp_path)


def test_weights_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    path = tmp_path / "networks" / "0.npz"
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["decide_0/bias"] = np.zeros(7, np.float16)
    np.savez(path, allow_pickle=False, **arrays)
    with pytest.raises(BundleError, match=r"decide_0/bias has the shape \(7,\)"):
        read_network(tmp_path, 0)
    del arrays["decide_0/bias"]
    np.savez(path, allow_pickle=False, **arrays)
    with pytest.raises(BundleError, match="decide_0/bias"):
        read_network(tmp_path, 0)


@pytest.mark.parametrize("form", ["combined", "hierarchical"])
def test_independent_networks_see_only_the_pictures_routed_to_them(
    tmp_path: Path, form: str
) -> None:
    make_bundle(tmp_path, form)
    cascade = Cascade.load(tmp_path)
    seen: dict[int, int] = {}

    def counting(number: int) -> Cascade:
        run = cascade.runners[number]

        def wrapped(pixels: np.ndarray) -> np.ndarray:
            seen[number] = seen.get(number, 0) + len(pixels)
            return run(pixels)

        return wrapped

    watched = Cascade(cascade.bundle, [counting(n) for n in range(len(cascade.runners))])
    pixels = np.random.default_rng(0).integers(0, 256, (64, 24, 18, 3)).astype(np.uint8)
    answers = watched.classify(pixels)
    assert seen[0] == 64
    below = {number: seen.get(number, 0) for number in range(1, len(cascade.runners))}
    wanted = {
        number: sum(answer.category == decision.node for answer in answers)
        for number, decision in enumerate(cascade.routing.decisions)
        if number
    }
    assert below == wanted
    assert answers == cascade.classify(pixels)


def test_pictures_of_another_shape_or_type_are_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    cascade = Cascade.load(tmp_path)
    assert cascade.classify(np.zeros((0, 24, 18, 3), np.uint8)) == []
    with pytest.raises(ValueError, match=r"\(N, 24, 18, 3\) uint8.*float32"):
        cascade.classify(np.zeros((1, 24, 18, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(1, 18, 24, 3\)"):
        cascade.classify(np.zeros((1, 18, 24, 3), np.uint8))


def test_a_new_section_of_the_card_keeps_the_version(tmp_path: Path) -> None:
    made = make_bundle(tmp_path)
    (tmp_path / "MODEL_CARD.md").write_text("# Model card\n")
    reseal(tmp_path)
    changed = add_card_section(tmp_path, "Elsewhere", "Worse.\n")
    assert (tmp_path / "MODEL_CARD.md").read_text() == "# Model card\n\n## Elsewhere\n\nWorse.\n"
    assert Bundle.open(tmp_path).version == changed.version == made.version


def test_a_section_of_the_card_is_replaced_by_one_of_the_same_title(
    tmp_path: Path,
) -> None:
    make_bundle(tmp_path)
    (tmp_path / "MODEL_CARD.md").write_text("# Model card\n")
    reseal(tmp_path)
    add_card_section(tmp_path, "Elsewhere", "Worse.")
    add_card_section(tmp_path, "Elsewhere, too", "Unknown.")
    add_card_section(tmp_path, "Elsewhere", "Better.")
    assert (tmp_path / "MODEL_CARD.md").read_text() == (
        "# Model card\n\n## Elsewhere, too\n\nUnknown.\n\n## Elsewhere\n\nBetter.\n"
    )
