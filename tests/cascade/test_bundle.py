"""A bundle is verified before use and contains no executable code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cascade.bundle import Bundle, BundleParts, add_card_section, seal, write_parts
from cascade.classifier import Cascade
from cascade.errors import BundleError, BundleTampered
from cascade.networks.architectures import Architecture, build, networks_of
from cascade.networks.serialisation import (
    _read_arrays,
    _set_weights,
    read_network,
    write_network,
)
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


@pytest.mark.parametrize("name", ["MODEL_CARD.md", "replay.npz", "backends/other/0.bin"])
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


def damage_layers(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the configuration of network 0 in place."""
    path = tmp_path / "networks" / "0.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def layer(config: dict[str, Any], class_name: str) -> dict[str, Any]:
    return next(one for one in config["config"]["layers"] if one["class_name"] == class_name)


CODE = {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}
OWN = {"module": None, "registered_name": "mine>Evil", "class_name": "Evil", "config": {}}


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        ("kernel_initializer", CODE, "__lambda__ is refused"),
        ("kernel_regularizer", CODE, "__lambda__ is refused"),
        ("bias_initializer", OWN, "mine>Evil is refused"),
        ("kernel_constraint", OWN | {"module": "keras.constraints"}, "mine>Evil is refused"),
        ("activation", {"class_name": "function", "config": "f", "module": "os"}, "os.function"),
        (
            "dtype",
            {"class_name": "Popen", "module": "subprocess", "config": {}},
            "subprocess.Popen",
        ),
        ("wrapped", {"class_name": "Dense", "config": {}}, "Dense is refused"),  # Keras before 3
        ("wrapped", {"class_name": ["Dense"], "module": ["keras.layers"]}, "is refused"),
        (
            "wrapped",
            [{"x": {"module": "keras.layers", "class_name": "TimeDistributed", "config": {}}}],
            r"keras.layers.TimeDistributed is refused",
        ),
    ],
)
def test_an_object_inside_a_layer_is_refused_too(
    tmp_path: Path, part: str, value: object, says: str
) -> None:
    make_bundle(tmp_path)
    damage_layers(tmp_path, lambda config: layer(config, "Dense")["config"].update({part: value}))
    with pytest.raises(BundleError, match=rf"networks/0\.json: .*{says}"):
        read_network(tmp_path, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(config=None),
        lambda config: config.update(config=7),
        lambda config: config["config"].pop("layers"),
        lambda config: config["config"].update(layers={}),
        lambda config: config["config"]["layers"].pop(2),
        lambda config: config["config"].update(output_layers=[["none", 0, 0]]),
        lambda config: layer(config, "Conv2D")["config"].update(kernel_size="three"),
        lambda config: layer(config, "Conv2D")["config"].update(kernel_size=[99, 99]),
        lambda config: layer(config, "Dense")["config"].update(units=-1),
        lambda config: layer(config, "Dense")["config"].update(kernel_initializer="odd"),
        lambda config: layer(config, "Dense").update(inbound_nodes=[{"args": 1}]),
        lambda config: layer(config, "InputLayer")["config"].update(batch_shape=[None]),
    ],
)
def test_damaged_layers_are_refused_by_file(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    make_bundle(tmp_path)
    damage_layers(tmp_path, change)
    with pytest.raises(BundleError, match=r"networks/0\.json: expected .*copy the bundle again"):
        read_network(tmp_path, 0)


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "null", "{", "[" * 100_000, '{"a":' * 5000, "\xff"]
)
def test_layers_that_are_no_network_are_refused_by_file(tmp_path: Path, text: str) -> None:
    make_bundle(tmp_path)
    (tmp_path / "networks" / "0.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"networks/0\.json: expected .*copy the bundle again"):
        read_network(tmp_path, 0)


def stored_weights(tmp_path: Path) -> dict[str, np.ndarray]:
    with np.load(tmp_path / "networks" / "0.npz") as stored:
        return {name: stored[name] for name in stored.files}


def test_weights_damaged_anywhere_are_refused_or_read(tmp_path: Path) -> None:
    """Cut, and with one byte changed: never another error than BundleError."""
    make_bundle(tmp_path)
    path = tmp_path / "networks" / "0.npz"
    whole, model, causes = path.read_bytes(), read_network(tmp_path, 0), set()
    for at in range(0, len(whole), max(1, len(whole) // 200)):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            path.write_bytes(data)
            try:
                _set_weights(model, path, _read_arrays(path))
            except BundleError as error:
                causes.add(type(error.__cause__).__name__)
                assert str(error).startswith(f"{path}: ")
                assert str(error).endswith("copy the bundle again, or train it anew")
    assert {"BadZipFile", "EOFError", "error"} <= causes  # "error": of zlib


@pytest.mark.parametrize(
    "damaged",
    [
        lambda array: array.astype(str),
        lambda array: array.astype(complex),
        lambda array: array.astype(bool),
        lambda array: np.full_like(array, np.nan),
        lambda array: np.zeros(array.shape, [("a", "f4")]),
    ],
)
def test_weights_that_are_no_finite_numbers_are_refused_by_name(
    tmp_path: Path, damaged: Callable[[np.ndarray], np.ndarray]
) -> None:
    make_bundle(tmp_path)
    arrays = stored_weights(tmp_path)
    arrays["decide_0/bias"] = damaged(arrays["decide_0/bias"])
    np.savez(tmp_path / "networks" / "0.npz", allow_pickle=False, **arrays)
    with pytest.raises(BundleError, match=r"0\.npz: decide_0/bias is .*copy the bundle again"):
        read_network(tmp_path, 0)


def test_one_array_instead_of_several_is_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    with (tmp_path / "networks" / "0.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(BundleError, match=r"0\.npz: expected plain arrays"):
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
