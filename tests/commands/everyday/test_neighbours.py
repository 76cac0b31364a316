"""`export` for other tools, and Label Studio's results back by `review apply`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from db.catalogue import Catalogue
from tests.commands.running import lines, run
from tests.db.samples import labelled, put, register


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a catalogue of one picture inside the roots and one outside."""
    monkeypatch.chdir(tmp_path)
    paths = []
    for folder in ("crawl", "private"):
        Path(folder).mkdir()
        paths.append(tmp_path / folder / "a.jpg")
        paths[-1].write_bytes(folder.encode())
    store = register(Catalogue.open("sqlite:///catalogue.db"))
    put(store, [labelled(str(path)) for path in paths])
    store.close()
    monkeypatch.setenv("FASHION_CASCADE_ROOTS", str(tmp_path / "crawl"))
    return tmp_path


def test_coco_is_refused_with_the_reason(place: Path) -> None:
    done = run("export", "out", "--format", "coco", exit_code=2)
    assert "no labels of whole pictures: use imagefolder" in done.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("form", ["imagefolder", "fiftyone", "huggingface", "cvat"])
def test_pictures_outside_the_roots_are_left_out(place: Path, form: str) -> None:
    done = run("export", "out", "--format", form, "--croissant")
    assert "1 row," in done.stdout
    assert "1 picture missing, or outside the setting roots" in done.stderr
    files = [Path("out")] if form == "cvat" else [*Path("out").rglob("*")]
    content = b"".join(path.read_bytes() for path in files if path.is_file())
    assert b"private" not in content.replace(b"/private/", b"")
    assert json.loads(Path("out.croissant.json").read_text())["name"] == "out"


def test_label_studio_and_back(place: Path) -> None:
    run("export", "tasks.json", "--format", "label-studio", "--path", "*/crawl/*")
    (task,) = json.loads(Path("tasks.json").read_text())
    region = task["predictions"][0]["result"][0]
    region["value"]["taxonomy"] = [["shoes", "male", "boots"]]
    Path("done.json").write_text(
        json.dumps([{"id": 3, "data": task["data"], "annotations": [{"result": [region]}]}])
    )
    assert "1 row corrected" in run("review", "apply", "done.json", "--by", "mara").stdout
    (row,) = lines(run("query", "--corrected", "--format", "jsonl"))
    assert row["label"] == "shoes/male/boots"


def test_metadata_needs_a_file_to_name(place: Path) -> None:
    done = run("export", "-", "--format", "csv", "--croissant", exit_code=2)
    assert "name a file" in done.stderr
    assert not done.stdout
