"""Exports for other tools, read as plain JSON, zip, CSV and Parquet and compared with the table.

`make open-exports` opens them with the tools' own libraries.
"""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet
import pytest

from db import human_labels
from db.catalogue import Catalogue
from db.errors import ExportError, InvalidRecord
from db.exports import huggingface
from db.exports.croissant import write_croissant
from db.exports.cvat import export_cvat
from db.exports.fiftyone import export_fiftyone
from db.exports.folders import export_imagefolder
from db.exports.label_studio import export_label_studio, is_result, read_label_studio
from db.exports.text import export_text
from db.human_labels import Correction
from db.queries import Filter, rows
from db.records import LabelEntry, PendingRow, Row
from tests.db.samples import (
    CRAWL,
    LABELS,
    MODEL,
    SUNGLASSES,
    DiskFiles,
    labelled,
    put,
    rejected,
    sandals,
)

EVERYTHING = Filter()
ON_SQLITE = pytest.mark.parametrize("catalogue_url", ["sqlite"], indirect=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one with a name that no table may break."""
    where = tmp_path / "crawl"
    where.mkdir()
    for name in ("a.jpg", 'b "x"\n=1.png', "c.jpg"):
        (where / name).write_bytes(f"bytes of {name}".encode())
    return where


@pytest.fixture
def filled(store: Catalogue, folder: Path) -> Catalogue:
    """Labels of the three pictures, one corrected; without a file, rejected and pending."""
    paths = sorted(str(path) for path in folder.iterdir())
    store.add_pending(
        CRAWL,
        [
            PendingRow(path, url=f"https://shop.example/{n}", shop="=shop")
            for n, path in enumerate(paths)
        ],
        MODEL,
    )
    outcomes = [labelled(paths[0]), labelled(paths[1], SUNGLASSES), labelled(paths[2])]
    put(store, [*outcomes, labelled("/gone.jpg", sandals()), rejected("/bad.jpg")])
    store.add_pending(CRAWL, [PendingRow("/waiting.jpg")], MODEL)
    last = next(rows(store.engine, Filter(path=paths[2])))
    human_labels.apply(store.engine, [Correction(last.id, "shoes/male/boots")], "mara")
    return store


def with_file(store: Catalogue) -> dict[int, Row]:
    """The rows that have a label and a file, by id."""
    return {
        row.id: row
        for row in rows(store.engine, EVERYTHING)
        if row.label is not None and Path(row.path).is_file()
    }


@pytest.mark.parametrize("links", ["symlink", "copy"])
def test_an_imagefolder_has_one_level_and_a_table(
    filled: Catalogue, tmp_path: Path, links: str
) -> None:
    target = tmp_path / "out"
    done, missing = export_imagefolder(
        filled.engine, EVERYTHING, target, link_type=links, files=DiskFiles()
    )
    assert (done.rows, missing) == (3, 1)
    known = with_file(filled)
    with (target / "metadata.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [int(line["id"]) for line in table] == sorted(known)
    for line in table:
        row = known[int(line["id"])]
        assert line["label"] == row.label
        assert line["file_name"].startswith(f"{row.label.replace('/', '-')}/{row.id}_")  # type: ignore[union-attr]
        assert (target / line["file_name"]).read_bytes() == Path(row.path).read_bytes()
        assert float(line["confidence"]) == row.confidence
        assert line["shop"] == "'=shop"
    folders = {path.parent.name for path in target.glob("*/*")}
    assert folders == {"shoes-female-sandals", "glasses-sunglasses", "shoes-male-boots"}


@ON_SQLITE
def test_two_labels_with_one_flat_name_are_refused(store: Catalogue, tmp_path: Path) -> None:
    entries = [
        LabelEntry("shoes", "shoes", is_leaf=False),
        LabelEntry("shoes/high-top", "shoes", None, "high-top"),
        LabelEntry("shoes/high", "shoes", None, "high", is_leaf=False),
        LabelEntry("shoes/high/top", "shoes", "high", "top"),
    ]
    store.register_model("model-3", [*LABELS, *entries[1:]])
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"x")
    other = tmp_path / "b.jpg"
    other.write_bytes(b"y")
    names = ("shoes/high-top", "shoes/high/top")
    put(
        store,
        [
            labelled(str(path), sandals(model_label=name, best_leaf=name))
            for path, name in zip((picture, other), names, strict=True)
        ],
    )
    with pytest.raises(ExportError, match="would both be 'shoes-high-top'"):
        export_cvat(store.engine, EVERYTHING, tmp_path / "out.zip", files=DiskFiles())
    assert not (tmp_path / "out.zip").exists()


@ON_SQLITE
def test_fiftyone_labels_are_found_by_name(filled: Catalogue, tmp_path: Path) -> None:
    target = tmp_path / "out"
    done, missing = export_fiftyone(
        filled.engine, EVERYTHING, target, link_type="copy", files=DiskFiles()
    )
    assert (done.rows, missing) == (3, 1)
    found = json.loads((target / "labels.json").read_text())
    known = with_file(filled)
    assert found["classes"] == sorted(entry.label for entry in LABELS)
    assert {int(name) for name in found["labels"]} == set(known)
    for name, entry in found["labels"].items():
        row = known[int(name)]
        (picture,) = (target / "data").glob(f"{name}.*")
        assert picture.read_bytes() == Path(row.path).read_bytes()
        assert found["classes"][entry["label"]] == row.label
        assert entry.get("confidence") == (None if row.human_label else row.confidence)
        assert entry["attributes"]["path"] == row.path
        assert "id" not in entry["attributes"]  # FiftyOne's own


@ON_SQLITE
def test_huggingface_parquet_has_bytes_and_class_labels(
    filled: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "ROWS_PER_GROUP", 1)  # a limit, to see several files
    monkeypatch.setattr(huggingface, "BYTES_PER_FILE", 1)
    target = tmp_path / "out"
    done, missing = huggingface.export_huggingface(
        filled.engine, EVERYTHING, target, files=DiskFiles()
    )
    assert (done.rows, missing) == (3, 1)
    names = [path.name for path in sorted((target / "data").iterdir())]
    assert names == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    table = pyarrow.concat_tables(
        pyarrow.parquet.read_table(target / "data" / name) for name in names
    )
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == table.column_names
    assert features["image"] == {"_type": "Image"}
    assert features["confidence"] == {"dtype": "float64", "_type": "Value"}
    known = with_file(filled)
    for line in table.to_pylist():
        row = known.pop(line["id"])
        assert line["image"]["bytes"] == Path(row.path).read_bytes()
        assert features["label"]["names"][line["label"]] == row.label
        assert (line["confidence"], line["shop"]) == (row.confidence, row.shop)
        assert line["human_label"] == row.human_label
    assert not known


@ON_SQLITE
def test_an_empty_huggingface_export_is_a_table_without_rows(
    filled: Catalogue, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    wanted = Filter(label="shoes/male/sandals")
    huggingface.export_huggingface(filled.engine, wanted, target, files=DiskFiles())
    assert pyarrow.parquet.read_table(target / "data").num_rows == 0


@ON_SQLITE
def test_a_cvat_zip_has_a_folder_for_each_label(filled: Catalogue, tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    done, missing = export_cvat(filled.engine, EVERYTHING, target, files=DiskFiles())
    assert (done.rows, missing) == (3, 1)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == done.sha256
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    for row in with_file(filled).values():
        name = f"{str(row.label).replace('/', '-')}/{row.id}_{Path(row.path).name}"
        assert found.pop(name) == Path(row.path).read_bytes()
    assert not found


@ON_SQLITE
def test_label_studio_tasks_have_predictions_and_annotations(
    filled: Catalogue, tmp_path: Path, folder: Path
) -> None:
    target = tmp_path / "tasks.json"
    done, missing = export_label_studio(
        filled.engine, EVERYTHING, target, document_root=str(folder.parent)
    )
    tasks = json.loads(target.read_text())
    assert (done.rows, missing) == (len(tasks), 1) == (3, 1)  # /gone.jpg is not below the root
    known = with_file(filled)
    for task in tasks:
        row = known.pop(task["data"]["catalogue_id"])
        assert task["data"]["path"] == row.path
        (prediction,) = task["predictions"]
        assert prediction["score"] == row.confidence
        assert chosen(prediction) == row.model_label
        said = [chosen(each) for each in task.get("annotations", [])]
        assert said == ([row.human_label] if row.human_label else [])
    images = sorted(task["data"]["image"] for task in tasks)
    assert images[0] == "/data/local-files/?d=crawl/a.jpg"
    assert images[1].endswith("crawl/b%20%22x%22%0A%3D1.png")
    tree = ElementTree.fromstring((tmp_path / "tasks.config.xml").read_text())
    paths: list[str] = []

    def walk(node: Any, above: str) -> None:
        for choice in node.findall("Choice"):
            paths.append(above + choice.attrib["value"])
            walk(choice, f"{paths[-1]}/")

    walk(tree.find("Taxonomy"), "")
    assert sorted(paths) == sorted(entry.label for entry in LABELS)


def chosen(annotation: dict[str, Any]) -> str:
    (region,) = annotation["result"]
    assert (region["from_name"], region["to_name"]) == ("label", "image")
    assert region["type"] == "taxonomy"
    (path,) = region["value"]["taxonomy"]
    return "/".join(path)


def annotated(task: dict[str, Any], *labels: str, **changes: Any) -> dict[str, Any]:
    """A task as Label Studio's export "JSON" writes it, with one annotation."""
    region = {
        "value": {"taxonomy": [label.split("/") for label in labels]},
        "id": "kD0b2RtMWx",
        "from_name": "label",
        "to_name": "image",
        "type": "taxonomy",
        "origin": "manual",
    }
    annotation = {
        "id": 7,
        "completed_by": 1,
        "result": [region] if labels else [],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-11-26T10:20:30.123456Z",
        "lead_time": 4.2,
        **changes,
    }
    return {**task, "id": 11, "annotations": [annotation], "predictions": [], "meta": {}}


@ON_SQLITE
def test_label_studio_results_are_applied(filled: Catalogue, tmp_path: Path) -> None:
    tasks, results = tmp_path / "tasks.json", tmp_path / "results.json"
    export_label_studio(filled.engine, EVERYTHING, tasks)
    first, second, *_ = json.loads(tasks.read_text())
    other = {"email": "mara@shop.example"}
    done = [
        annotated(first, "shoes/male/sandals", completed_by=other),
        annotated(second),  # submitted without a label
        annotated(second, "shoes/female", was_cancelled=True),
        {**second, "id": 12, "annotations": []},
    ]
    results.write_text(json.dumps(done))  # as one line, like the original
    assert is_result(results)
    found = read_label_studio(results)
    assert [(c.id, c.label, c.note) for c in found] == [
        (first["data"]["catalogue_id"], "shoes/male/sandals", "Label Studio, mara@shop.example")
    ]
    assert human_labels.apply(filled.engine, found, "mara").changed == 1
    assert human_labels.apply(filled.engine, read_label_studio(results), "mara").changed == 0


@ON_SQLITE
def test_annotators_who_disagree_are_refused(filled: Catalogue, tmp_path: Path) -> None:
    tasks, results = tmp_path / "tasks.json", tmp_path / "results.json"
    export_label_studio(filled.engine, EVERYTHING, tasks)
    first = json.loads(tasks.read_text())[0]
    both = annotated(first, "shoes/male/sandals")
    both["annotations"] += annotated(first, "shoes/male/boots")["annotations"]
    results.write_text(json.dumps([both]))
    with pytest.raises(InvalidRecord, match=r"results\.json, line 1.*corrected twice"):
        human_labels.apply(filled.engine, read_label_studio(results), "mara")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (annotated({"data": {"image": "x"}}, "shoes"), r"\(task 11\): expected catalogue_id"),
        (annotated({"data": {"catalogue_id": "x"}}, "shoes"), "task 11.*x"),
        (annotated({"data": {"catalogue_id": 1}}, "shoes", "glasses"), "one label, received 2"),
        ({"data": {}, "annotations": {"id": 1}}, "a list 'annotations'"),
        ({"data": {}, "annotations": [3]}, "expected objects in 'annotations'"),
        (annotated({"data": {}}, result=7), "expected a list 'result'"),
        (
            annotated(
                {"data": {}},
                result=[{"type": "taxonomy", "from_name": "label", "value": {"taxonomy": "x"}}],
            ),
            "expected paths of a taxonomy",
        ),
    ],
)
def test_results_that_are_no_answer_are_refused(
    tmp_path: Path, task: dict[str, Any], message: str
) -> None:
    results = tmp_path / "results.json"
    results.write_text(json.dumps([task]))
    assert is_result(results)
    with pytest.raises(ExportError, match=message):
        read_label_studio(results)


@pytest.mark.parametrize("content", [b"", b"[]", b"id,label\n", b'[{"id": 1}]', b"\xff\xfe", b"["])
def test_other_files_are_no_results_of_label_studio(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(content)
    assert not is_result(file)


@ON_SQLITE
def test_croissant_describes_the_file_beside_it(filled: Catalogue, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    done = export_text(filled.engine, EVERYTHING, target, "csv")
    with target.open(newline="") as file:
        columns = next(csv.reader(file))
    about = json.loads(write_croissant(done, target, "csv", columns).read_text())
    assert about["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    (one,) = about["distribution"]
    assert hashlib.sha256((tmp_path / one["contentUrl"]).read_bytes()).hexdigest() == one["sha256"]
    (records,) = about["recordSet"]
    assert [field["source"]["extract"]["column"] for field in records["field"]] == columns
    types = {field["name"]: field["dataType"] for field in records["field"]}
    assert (types["id"], types["confidence"]) == ("sc:Integer", "sc:Float")
    assert (types["needs_review"], types["labelled_at"]) == ("sc:Boolean", "sc:DateTime")


@ON_SQLITE
def test_croissant_describes_a_folder(filled: Catalogue, tmp_path: Path) -> None:
    target = tmp_path / "out"
    done, _ = export_imagefolder(
        filled.engine, EVERYTHING, target, link_type="copy", files=DiskFiles()
    )
    about = json.loads(write_croissant(done, target, "imagefolder", ()).read_text())
    table, pictures = about["distribution"]
    content = (tmp_path / table["contentUrl"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == table["sha256"]
    assert len(list(tmp_path.glob(pictures["includes"]))) == 3
    names = [field["name"] for field in about["recordSet"][0]["field"]]
    assert names == content.decode().splitlines()[0].split(",")
