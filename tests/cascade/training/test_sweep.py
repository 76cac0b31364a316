"""A sweep on shapes: read back from its event files, resumed, ranked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cascade.errors import DatasetError
from cascade.pictures.decode import Preprocessing
from cascade.training.sweep import (
    PicturesBySize,
    SweepPlan,
    TrialResult,
    parse_space,
    ranking,
    recommended,
    run_sweep,
    trial_settings,
    trials_of,
)

from .test_fit import PRIMARY, TREE, shapes

FRAME = Preprocessing(width=18, height=24)


def plan(**changes: Any) -> SweepPlan:
    values = {"space": {"filter_size": [3, 5], "filters_number": [2]}, "epochs": 2, "seed": 5}
    return SweepPlan(PRIMARY[0], TREE, **(values | changes))


def test_the_originals_grid_has_twelve_trials() -> None:
    assert len(trials_of(SweepPlan(PRIMARY[0], TREE))) == 12


def test_random_search_takes_the_same_trials_of_the_grid_each_time() -> None:
    whole = trials_of(SweepPlan(PRIMARY[0], TREE))
    some = trials_of(SweepPlan(PRIMARY[0], TREE, trials=5))
    assert len(some) == 5
    assert all(trial in whole for trial in some)
    assert some == trials_of(SweepPlan(PRIMARY[0], TREE, trials=5))
    assert some != trials_of(SweepPlan(PRIMARY[0], TREE, trials=5, seed=1))


def test_values_are_parsed_and_become_settings() -> None:
    space = parse_space(
        ["filters_number=8,16", "dense=none,64x32", "learning_rate=0.01", "augmentation=full"]
    )
    assert space["filters_number"] == [8, 16]
    settings = trial_settings(
        plan(space=space), {name: values[-1] for name, values in space.items()}
    )
    assert settings.architecture.options == {"filters": 16, "dense": [64, 32]}
    assert settings.learning_rate == 0.01
    assert settings.augmentation.mirror == 0.5
    for wrong in ("filters=3", "dense", "dense=a", "augmentation=much", "dropout="):
        with pytest.raises(ValueError, match=r"a|expected"):
            parse_space([wrong])


def result(name: str, accuracy: float, weights: int) -> TrialResult:
    return TrialResult(name, {"filters_number": name}, accuracy, 0.1, 200, weights, 5, 1.0)


def test_the_smallest_network_within_the_best_ones_interval_is_recommended() -> None:
    ranked = [result("a", 0.95, 900), result("b", 0.93, 100), result("c", 0.70, 10)]
    assert recommended(ranked).name == "b"
    text = ranking(ranked)
    assert "| 1 | a | 95.00 % | 91.0–97.3 |" in text
    assert "Take filters_number b" in text


def events(folder: Path) -> dict[str, Any]:
    """Everything in the event files below a folder: (run, tag) to its last value's summary."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, Any] = {}
    for run in sorted({path.parent for path in folder.rglob("events.out.*")}):
        accumulator = EventAccumulator(str(run), size_guidance={"tensors": 0, "images": 0})
        accumulator.Reload()
        name = run.relative_to(folder).as_posix()
        for tag in accumulator.Tags()["tensors"]:
            found[f"{name}:{tag}"] = accumulator.Tensors(tag)
        found[f"{name}:plugins"] = {
            tag: accumulator.SummaryMetadata(tag).plugin_data.plugin_name
            for tag in accumulator.summary_metadata
        }
    return found


@pytest.mark.slow
def test_tensorboard_finds_hyperparameters_metrics_and_images(tmp_path: Path) -> None:
    import tensorflow as tf

    pictures = PicturesBySize(shapes(48, 1), shapes(24, 2), FRAME)
    ranked = run_sweep(plan(), pictures, tmp_path)
    assert len(ranked) == 2
    found = events(tmp_path)
    assert found[".:plugins"]["_hparams_/experiment"] == "hparams"
    for trial in ranked:
        run = trial.name
        assert found[f"{run}:plugins"]["_hparams_/session_start_info"] == "hparams"
        accuracy = float(tf.make_ndarray(found[f"{run}:accuracy"][-1].tensor_proto))
        assert accuracy == pytest.approx(trial.accuracy, abs=1e-6)
        assert len(found[f"{run}/train:loss"]) == 2
        assert len(found[f"{run}/validation:accuracy"]) == 2
        assert found[f"{run}/train:plugins"]["convolution0/kernel"] == "histograms"
        images = found[f"{run}/validation:confusion"]
        assert len(images) == 2
        width, height, png = tf.make_ndarray(images[-1].tensor_proto)[:3]
        assert Image.open(io.BytesIO(png)).size == (int(width), int(height))

    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    next(iter(first)).unlink()  # as if killed before the last trial ended
    again = run_sweep(plan(), pictures, tmp_path)
    assert [trial.name for trial in again] == [trial.name for trial in ranked]
    assert [trial.accuracy for trial in again] == [trial.accuracy for trial in ranked]
    kept = list(first)[1]
    assert kept.stat().st_mtime_ns == first[kept]
    with pytest.raises(DatasetError, match="the values of seed differ; .* with --out"):
        run_sweep(plan(seed=6), pictures, tmp_path)
    others = PicturesBySize(shapes(48, 1), shapes(24, 3), FRAME)
    with pytest.raises(DatasetError, match="the validation pictures differ"):
        run_sweep(plan(), others, tmp_path)
    others = PicturesBySize(shapes(48, 4), shapes(24, 2), FRAME)
    with pytest.raises(DatasetError, match="the training pictures"):
        run_sweep(plan(), others, tmp_path)
