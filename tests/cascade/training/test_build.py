"""A complete cascade: trained, calibrated, evaluated, sealed, and recalibrated."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cascade.bundle import Bundle
from cascade.classifier import Cascade
from cascade.conversion import convert
from cascade.data.dataset import Item, Pictures
from cascade.errors import BundleError, DatasetError
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from cascade.training.build import TrainingData, build_cascade
from cascade.training.recalibrate import recalibrate

from .test_fit import PLAIN, SETTINGS, TREE, shapes

FRAME = Preprocessing(width=18, height=24)


def data(train: int = 160) -> TrainingData:
    return TrainingData(shapes(train, 1), shapes(60, 2), TREE, shapes(60, 3), FRAME)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``bundle`` and the ``work`` that it was made in."""
    folder = tmp_path_factory.mktemp("built")
    build_cascade(data(), PLAIN, folder / "bundle", folder / "work", 0.7)
    return folder


def test_a_bundle_rebuilt_from_its_work_folder_still_reports_the_training_time(
    built: Path, tmp_path: Path
) -> None:
    """The time is read from the work folder, not measured in the second run."""
    work = tmp_path / "work"
    shutil.copytree(built / "work", work)
    for state in work.glob("*/state.json"):
        content = json.loads(state.read_text())
        assert content["seconds"] > 0
        state.write_text(json.dumps({**content, "seconds": 1800.0}))
    networks = len(list(work.glob("*/state.json")))
    again = build_cascade(data(), PLAIN, tmp_path / "again", work, 0.7)
    assert again.manifest["training"]["minutes"] == 30.0 * networks


def test_the_bundle_labels_and_records_its_training(built: Path) -> None:
    cascade = Cascade.load(built / "bundle")
    test = shapes(60, 3)
    answers = cascade.classify(test.pixels)
    right = [a.best_leaf == i.label for a, i in zip(answers, test.items, strict=True)]
    assert np.mean(right) > 0.5  # 0.25 by chance
    manifest = cascade.bundle.manifest
    figures = manifest["figures"]["test"]["rates"]["primary"]
    primary = [
        a.category == i.label.split("/")[0] for a, i in zip(answers, test.items, strict=True)
    ]
    assert (figures["right"], figures["count"]) == (sum(primary), 60)
    assert manifest["training"]["pictures"] == dict.fromkeys(sorted(TREE.leaves), 40)
    assert manifest["training"]["settings"]["seed"] == 7
    assert set(cascade.routing.temperatures) == {"", "flat", "round"}
    assert set(cascade.routing.thresholds) == {node.path for node in TREE.nodes}
    card = (built / "bundle" / "MODEL_CARD.md").read_text()
    assert manifest["training"]["fingerprint"] in card
    assert "What it is not good at" in card
    assert "Fewer than 30 pictures in " in card
    assert not (built / "bundle.part").exists()


def test_an_existing_bundle_and_another_runs_work_folder_are_refused(
    built: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="is there already"):
        build_cascade(data(), PLAIN, built / "bundle", tmp_path / "work")
    with pytest.raises(DatasetError, match=r"the settings \(seed\) differ; .* with --work"):
        build_cascade(data(), replace(PLAIN, seed=1), tmp_path / "b", built / "work")


def in_order(pictures: Pictures) -> Pictures:
    """The same pictures, last first."""
    return pictures.subset(np.arange(len(pictures))[::-1])


def from_a_shop(pictures: Pictures) -> Pictures:
    """The same pictures, of a source."""
    return replace(pictures, items=tuple(replace(i, source="shop") for i in pictures.items))


TURNED = replace(TREE, nodes=TREE.nodes[::-1])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (data(92), "another run: the training pictures and the orders"),
        (
            replace(data(), train=in_order(data().train)),
            "another run: the orders or sources of the training pictures differ",
        ),
        (replace(data(), train=from_a_shop(data().train)), "another run: the orders or sources"),
        (replace(data(), validation=shapes(60, 9)), "another run: the validation pictures differ"),
        (replace(data(), taxonomy=TURNED), "another run: the taxonomies differ"),
        (
            replace(data(), preprocessing=replace(FRAME, background=(0, 0, 0))),
            "another run: the picture sizes or backgrounds differ",
        ),
    ],
)
def test_a_run_is_not_resumed_with_other_data(
    built: Path, tmp_path: Path, changed: TrainingData, says: str
) -> None:
    with pytest.raises(DatasetError, match=says):
        build_cascade(changed, PLAIN, tmp_path / "b", built / "work")


def test_other_test_pictures_and_another_order_of_validation_resume(
    built: Path, tmp_path: Path
) -> None:
    """They change no network."""
    shutil.copytree(built / "work", tmp_path / "work")
    changed = replace(data(), test=shapes(60, 9), validation=in_order(data().validation))
    build_cascade(changed, PLAIN, tmp_path / "bundle", tmp_path / "work", 0.7)


def test_a_label_without_training_pictures_is_refused_before_training(tmp_path: Path) -> None:
    train = shapes(40, 1)
    keep = [n for n, item in enumerate(train.items) if item.label != "round/dark"]
    fewer = Pictures(tuple(train.items[n] for n in keep), train.pixels[keep])
    with pytest.raises(DatasetError, match="no training picture for round/dark"):
        build_cascade(replace(data(), train=fewer), SETTINGS, tmp_path / "b", tmp_path / "w")


def test_a_stopped_run_resumes_from_its_checkpoints(built: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(built / "work", work)
    for final in work.rglob("final.weights.h5"):
        final.unlink()
    epochs = {state.parent.name: state.stat().st_mtime_ns for state in work.glob("*/state.json")}
    made = build_cascade(data(), PLAIN, tmp_path / "bundle", work, 0.7)
    pixels = shapes(20, 9).pixels
    first, second = Cascade.load(made.folder), Cascade.load(built / "bundle")
    assert np.array_equal(first.logits(pixels), second.logits(pixels))
    for network, changed in epochs.items():  # no epoch was trained again
        assert (work / network / "state.json").stat().st_mtime_ns == changed
        assert (work / network / "final.weights.h5").is_file()


def test_recalibration_changes_thresholds_and_nothing_else(built: Path, tmp_path: Path) -> None:
    found = recalibrate(built / "bundle", shapes(400, 11), tmp_path / "new", 0.9)
    old, new = Bundle.open(built / "bundle"), Bundle.open(tmp_path / "new")
    assert new.version == found.bundle.version != old.version
    changed = {
        n for n in new.manifest["files"] if new.manifest["files"][n] != old.manifest["files"].get(n)
    }
    assert changed == {"calibration.json", "MODEL_CARD.md"}
    stored = json.loads((tmp_path / "new" / "calibration.json").read_text())
    assert stored["thresholds"] == {n: e.threshold for n, e in found.nodes.items()}
    assert new.manifest["training"]["tuned_from"] == old.version
    assert set(old.manifest["figures"]) == {"validation", "test"}
    assert set(new.manifest["figures"]) == {"tuned_on"}  # the old ones hold for the old thresholds
    assert new.manifest["figures"]["tuned_on"]["pictures"] == 400
    with pytest.raises(BundleError, match="is there already"):
        recalibrate(built / "bundle", shapes(8, 1), tmp_path / "new", 0.9)


def test_familiar_pictures_cannot_be_told_where_each_decision_has_its_own_network(
    built: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="expected one network for all decisions"):
        recalibrate(built / "bundle", shapes(400, 11), tmp_path / "new", 0.9, familiar=0.8)
    assert not (tmp_path / "new").exists()


def test_a_lower_precision_stops_more_labels_at_leaves(built: Path, tmp_path: Path) -> None:
    def leaves(precision: float) -> int:
        found = recalibrate(
            built / "bundle", shapes(400, 11), tmp_path / f"at-{precision}", precision
        ).nodes
        return sum(found[leaf].answers for leaf in TREE.leaves)

    assert leaves(0.6) > leaves(0.99)


def test_partly_known_labels_train_what_they_know(tmp_path: Path) -> None:
    train = shapes(96, 1)
    half = tuple(
        Item(item.path, f"?/{item.label.split('/')[1]}" if n % 8 > 3 else item.label)
        for n, item in enumerate(train.items)
    )
    given = replace(data(), train=Pictures(half, train.pixels))
    bundle = build_cascade(
        given, replace(SETTINGS, epochs=2), tmp_path / "bundle", tmp_path / "work"
    )
    assert bundle.manifest["training"]["pictures"]["?/dark"] == 24


def below_one_name(pictures: Pictures) -> Pictures:
    """The same pictures with the labels of a flat tree below one name."""
    items = (replace(i, label="shapes/" + i.label.replace("/", "_")) for i in pictures.items)
    return replace(pictures, items=tuple(items))


def test_a_flat_tree_below_one_name_says_not_sure_with_that_name(tmp_path: Path) -> None:
    """Whatever it runs on: its primary decision has a single outcome."""
    leaves = [f"shapes/{leaf.replace('/', '_')}" for leaf in TREE.leaves]
    given = replace(
        data(),
        taxonomy=Taxonomy.from_labels(leaves),
        train=below_one_name(shapes(160, 1)),
        validation=below_one_name(shapes(60, 2)),
        test=None,
    )
    build_cascade(given, replace(PLAIN, epochs=2), tmp_path / "trained", tmp_path / "work", 0.9)
    drawn = shapes(80, 5).pixels
    convert(tmp_path / "trained", tmp_path / "bundle", drawn[:20], drawn[20:40])
    for backend in ("tensorflow", "litert_float32"):
        cascade = Cascade.load(tmp_path / "bundle", backend=backend)
        sure = replace(cascade.routing, thresholds={"shapes": 0.0} | dict.fromkeys(leaves, 0.0))
        unsure = replace(sure, thresholds=dict.fromkeys(leaves, 1.0))
        logits = cascade.logits(drawn)
        assert {each.label for each in sure.label(logits)} <= set(leaves)
        for each in unsure.label(logits):
            assert (each.label, each.category, each.type) == ("shapes", "shapes", None)
            assert each.needs_review
            assert each.best_leaf in leaves
