"""Files that version 0.1.0 wrote are read, with the answers that version 0.1.0 gave.

The files and the commands that made them are in ``data/v0.1`` (see its README).
"""

from __future__ import annotations

import csv
import inspect
import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade.bundle import Bundle
from cascade.data.dataset import Item, Pictures
from cascade.networks.architectures import Architecture
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from cascade.training.augmentation import NO_AUGMENTATION
from cascade.training.build import TrainingData, build_cascade
from cascade.training.settings import TrainingSettings
from db.catalogue import Catalogue
from db.records import FileState, Outcome
from tests.commands.running import lines, run
from worker.queue.tasks import _label_shard

DATA = Path(__file__).parent / "data" / "v0.1"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
LEAVES = (
    *("best_leaf_confidence", "second_leaf", "second_leaf_confidence"),
    "leaf_probabilities",
    "backend",
    "backend_digest",
)
QUERIES = [name for name, value in EXPECTED.items() if "lines" in value]


@pytest.fixture
def catalogue_url(tmp_path: Path) -> str:
    """The URL of a copy of the kept catalogue, brought up to the present schema."""
    shutil.copyfile(DATA / "catalogue.db", tmp_path / "catalogue.db")
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    run("db", "upgrade", "--catalogue", url)
    return url


def test_the_bundle_has_the_same_version_and_gives_the_same_labels(tmp_path: Path) -> None:
    bundle = Bundle.open(DATA / "bundle")
    assert bundle.version == EXPECTED["models"][0]
    recorded = {
        Path(row["path"]).name: row
        for row in map(json.loads, (DATA / "labels.jsonl").read_text(encoding="utf-8").splitlines())
    }
    assert len(recorded) == 21
    arguments = ("--model", str(DATA / "bundle"), "--backend", "tensorflow", "--format", "jsonl")
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    shown = run("label", str(DATA / "drawings"), *arguments, "--catalogue", url, exit_code=1)
    for row in lines(shown):
        before = recorded.pop(Path(row["path"]).name)
        confidence = before.pop("confidence") or 0.0  # none where it was rejected
        assert (row.pop("confidence") or 0.0) == pytest.approx(confidence, rel=1e-3)
        assert row == {**before, "path": row["path"]}
    assert not recorded


def test_the_bundle_runs_on_the_backends_that_were_converted_then(tmp_path: Path) -> None:
    arguments = ("--model", str(DATA / "bundle"), "--backend", "litert_float32")
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    shown = run("label", str(DATA / "drawings"), *arguments, "--catalogue", url, exit_code=1)
    assert {row["model_version"] for row in lines(shown)} == {EXPECTED["models"][0]}


def test_the_catalogue_upgrades_and_passes_its_check(catalogue_url: str) -> None:
    run("db", "check", "--catalogue", catalogue_url)


def in_todays_names(row: dict[str, Any]) -> dict[str, Any]:
    """A recorded row, where `label` was the model's, the parts were its, and no `detail` was kept.

    `label` is the label that counts since decision 0015. A row of `stats` has no human label.
    """
    if "human_label" not in row:
        return row
    human = row["human_label"] or None
    empty = "" if "" in row.values() else None  # CSV has no null
    renamed = dict(row, label=human or row["label"], detail=empty)
    if "attempts" in row:  # a whole row, of a time when its leaves were not kept
        renamed |= dict.fromkeys(LEAVES, empty)
    if "category" in row:
        renamed["model_label"] = row["label"]
        if human:
            parts = Taxonomy.load().levels(human)
            renamed |= {name: parts[name] or empty for name in ("category", "gender", "type")}
    return renamed


@pytest.mark.parametrize("name", QUERIES)
def test_the_catalogue_answers_the_same(catalogue_url: str, name: str) -> None:
    arguments = EXPECTED[name]["arguments"]
    expected = [in_todays_names(line) for line in EXPECTED[name]["lines"]]
    assert lines(run(*arguments, "--catalogue", catalogue_url)) == expected


def test_the_way_back_to_the_first_model_is_in_the_history(catalogue_url: str) -> None:
    first, second = EXPECTED["models"]
    run("models", "use", first, "--catalogue", catalogue_url)
    columns = ("--columns", "path,model_label,model_version", "--limit", "100", "--format", "jsonl")
    found = lines(run("query", "--crawl", "spring", *columns, "--catalogue", catalogue_url))
    labels = {
        row["path"]: row["label"]
        for row in map(json.loads, (DATA / "labels.jsonl").read_text(encoding="utf-8").splitlines())
    }
    assert {row["path"]: row["model_label"] for row in found} == labels
    assert {row["model_version"] for row in found} == {first} != {second}


@pytest.mark.parametrize("name", ["export.csv", "export.jsonl"])
def test_an_export_is_read_back_and_written_the_same(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    # the taxonomy comes with a model, before rows that use it
    picture = str(DATA / "drawings" / "00001.jpg")
    run("label", picture, "--crawl", "own", "--model", str(DATA / "bundle"), "--catalogue", url)
    run("import", str(DATA / name), "--catalogue", url)
    run("export", str(tmp_path / name), "--catalogue", url)

    def read(path: Path) -> list[dict[str, Any]]:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file) if name.endswith("csv") else map(json.loads, file))
        for row in rows:  # of this catalogue, not of the picture
            for own in ("id", "created_at", "updated_at"):
                del row[own]
        rows = [row for row in rows if row["crawl"] != "own"]
        return sorted(rows, key=lambda row: (row["crawl"], row["path"]))

    rows = [in_todays_names(row) for row in read(DATA / name)]
    assert len(rows) == 27
    assert read(tmp_path / name) == rows


def test_the_export_holds_what_the_catalogue_holds(catalogue_url: str, tmp_path: Path) -> None:
    run("export", str(tmp_path / "export.jsonl"), "--catalogue", catalogue_url)
    run("export", str(tmp_path / "export.csv"), "--catalogue", catalogue_url)
    with (DATA / "export.jsonl").open() as old, (tmp_path / "export.jsonl").open() as new:
        assert [json.loads(line) for line in new] == [
            in_todays_names(json.loads(line)) for line in old
        ]
    with (
        (DATA / "export.csv").open(newline="") as old,
        (tmp_path / "export.csv").open(newline="") as new,
    ):
        rows = [in_todays_names(row) for row in csv.DictReader(old)]
        assert list(csv.DictReader(new)) == rows


def stopped_training() -> tuple[TrainingData, TrainingSettings]:
    """The pictures and settings of the training that was stopped, in the present names."""
    with np.load(DATA / "shapes.npz") as stored:
        pictures = {
            split: Pictures(
                tuple(
                    Item(f"{number}", str(label), split, group=str(number))
                    for number, label in enumerate(stored[f"{split}_labels"])
                ),
                stored[f"{split}_images"],
            )
            for split in ("train", "validation")
        }
    settings = TrainingSettings(
        Architecture("two_convolutions", {"filters": 4, "dense": [16], "dropout": 0.3}),
        epochs=4,
        batch_size=16,
        learning_rate=3e-3,
        augmentation=replace(NO_AUGMENTATION, mirror=0.5, scale=(0.9, 1.1), shift=0.05),
        ema_momentum=0.9,
        mix_probability=0.5,
        low_rate_epochs=2,
        seed=7,
    )
    tree = Taxonomy.from_labels(["flat/dark", "flat/light", "round/dark", "round/light"])
    frame = Preprocessing(width=18, height=24)
    return TrainingData(
        pictures["train"], pictures["validation"], tree, preprocessing=frame
    ), settings


def test_a_stopped_training_resumes_to_the_result_of_the_old_version(tmp_path: Path) -> None:
    data, settings = stopped_training()
    work = tmp_path / "work"
    shutil.copytree(DATA / "work", work)
    state = work / "1" / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"seconds": 6000.0}))
    build_cascade(data, settings, tmp_path / "bundle", work, 0.6)
    assert json.loads(state.read_text())["seconds"] >= 6000.0, "trained again, not resumed"

    expected = EXPECTED["stopped"]
    for number, before in expected["history"].items():
        history = json.loads((work / number / "state.json").read_text())["history"]
        assert len(history) == len(before) == 6
        for figures, recorded in zip(history, before, strict=True):
            assert figures.keys() == recorded.keys()
            for name in ("loss", "val_loss"):
                assert figures[name] == pytest.approx(recorded[name], rel=3e-3)
    # kept, not trained again: to the last digit
    assert (
        json.loads((work / "0" / "state.json").read_text())["history"] == expected["history"]["0"]
    )

    found = {}
    for number in range(3):
        with np.load(tmp_path / "bundle" / "networks" / f"{number}.npz") as stored:
            found |= {f"{number}:{name}": stored[name] for name in stored.files}
    with np.load(DATA / "finished-weights.npz") as stored:
        assert found.keys() == set(stored.files)
        for name, weights in found.items():
            np.testing.assert_allclose(weights, stored[name], atol=5e-3, err_msg=name)

    training = Bundle.open(tmp_path / "bundle").manifest["training"]
    kept = {name: training["settings"][name] for name in expected["settings"]}
    assert kept == expected["settings"]  # beside settings that came later


def test_a_training_with_other_settings_is_refused(tmp_path: Path) -> None:
    from cascade.errors import DatasetError

    data, settings = stopped_training()
    shutil.copytree(DATA / "work", tmp_path / "work")
    with pytest.raises(DatasetError, match="the settings .seed. differ"):
        build_cascade(data, replace(settings, seed=8), tmp_path / "bundle", tmp_path / "work", 0.6)


def test_the_kept_catalogue_is_of_the_old_schema() -> None:
    """A test of the test: nobody upgraded the kept file."""
    with sqlite3.connect(f"file:{DATA / 'catalogue.db'}?immutable=1", uri=True) as connection:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.close()
    assert revision == EXPECTED["revision"]


def test_a_message_is_worked_after_the_upgrade_and_once(tmp_path: Path) -> None:
    """Rolling upgrade: published by 0.1.0, which knows no generation, and delivered twice."""
    file = tmp_path / "catalogue.db"
    shutil.copyfile(DATA / "catalogue.db", file)
    with sqlite3.connect(file) as old:
        old.execute(
            "UPDATE catalogue SET status = 'pending', reason = NULL WHERE status = 'cancelled'"
        )
    old.close()
    message = json.loads((DATA / "message.json").read_text(encoding="utf-8"))["decoded_body"][1]
    inspect.signature(_label_shard).bind(None, **message)
    store = Catalogue.open(f"sqlite:///{file}")
    files = [FileState(path) for path in message["paths"]]
    crawl, model = message["crawl"], message["model_version"]
    claim = store.claim(crawl, files, "A", 60.0, model, reopen=False)
    assert (len(claim.todo), len(claim.done), claim.gone) == (4, 2, [])
    assert len(store.claim(crawl, files, "B", 60.0, model, reopen=False).busy) == 4
    outcomes = [Outcome(file.path, "rejected", None, None, None, "missing") for file in claim.todo]
    generations = {file.path: file.generation for file in claim.todo}
    assert store.store(crawl, "A", model, outcomes, generations=generations) == 4
    assert len(store.claim(crawl, files, "B", 60.0, model, reopen=False).done) == 6
    store.close()
