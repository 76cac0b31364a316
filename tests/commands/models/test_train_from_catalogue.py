"""`train --from-catalogue`: train, label, review, train on the corrections."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.commands.running import run

LABELS = ("shapes/left", "shapes/right", "out_of_scope")
EACH = 6
TRAINING = ("--taxonomy", "folders", "--experiment", "original", "--epochs", "1")


def draw(folder: Path, first: int) -> None:
    """Draw different pictures of each label: blocks on the left, on the right, or stripes."""
    for label in LABELS:
        for number in range(first, first + EACH):
            picture = Image.new("RGB", (90, 120), "white")
            top, height = 9 * (number % 8), 20 + 9 * (number // 8)
            left = {"shapes/left": (2, 40), "shapes/right": (50, 88)}.get(label, (0, 90))
            step = 3 if label == "out_of_scope" else height
            for y in range(top, top + height, step):
                end = y + (1 if step == 3 else height)
                picture.paste((9 * number, 30, 90), (left[0], y, left[1], end))
            path = folder / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three labels, trained for one epoch: its answers do not matter here."""
    folder = tmp_path_factory.mktemp("shapes")
    draw(folder / "known", 0)
    run("train", str(folder / "known"), *TRAINING, "--out", str(folder / "bundle"))
    return folder / "bundle"


def reviewed(bundle: Path) -> None:
    """Label the folder `new` into catalogue.db; a person then corrects each picture."""
    run("label", "new", "--model", str(bundle))
    run("review", "sheet", "all.html")
    with Path("all.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for line in table:
        below = Path(line["path"]).relative_to(Path("new").resolve()).parent.as_posix()
        line["correct_label"] = below
    with Path("all.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    run("review", "apply", "all.csv", "--by", "mara")


def training_of(bundle: str) -> dict[str, Any]:
    training: dict[str, Any] = json.loads(Path(bundle, "manifest.json").read_text())["training"]
    return training


def test_training_on_corrections_alone_and_with_pictures(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "new", 8)
    nobody = run("label", "new", "--model", str(bundle), "--catalogue", "none.db").exit_code
    assert nobody == 0
    asked = ("train", "--from-catalogue", "none.db", *TRAINING, "--out", "out")
    assert "nobody has corrected" in run(*asked, exit_code=2).stderr
    reviewed(bundle)

    for number in (8, 9):
        Path("new", "shapes/left", f"{number}.png").unlink()
    Image.new("RGB", (90, 120)).save(Path("new", "shapes/right", "8.png"))
    alone = run("train", "--from-catalogue", "catalogue.db", *TRAINING, "--out", "alone")
    assert "15 of 18 corrections can be trained on" in alone.stderr
    assert "left out, missing: 2" in alone.stderr
    assert "left out, changed since a person saw it: 1" in alone.stderr
    assert training_of("alone")["sources"] == {"corrections": 9}
    assert "| corrections | 9 |" in Path("alone", "MODEL_CARD.md").read_text()

    known = bundle.parent / "known"
    asked = ("train", str(known), "--from-catalogue", "catalogue.db", *TRAINING)
    both = run(*asked, "--out", "both")
    assert "15 corrections are trained on" in both.stderr
    assert training_of("both")["sources"] == {"": 12, "corrections": 15}
    assert "| corrections | 15 |" in Path("both", "MODEL_CARD.md").read_text()
    before = training_of(str(bundle))
    assert before["sources"] == {"": 12}  # validation and test are those of before

    one_root = {"FASHION_CASCADE_ROOTS": str(tmp_path / "new" / "shapes")}
    for name, value in one_root.items():
        monkeypatch.setenv(name, value)
    inside = ("train", "--from-catalogue", "catalogue.db", *TRAINING, "--out", "inside")
    assert "left out, outside_root: 6" in run(*inside, exit_code=2).stderr


def test_training_without_pictures_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "train on what?" in run("train", "--out", "out", exit_code=2).stderr
    missing = run("train", "--from-catalogue", "no.db", "--out", "out", exit_code=4)
    assert "there is no catalogue" in missing.stderr
    assert list(tmp_path.iterdir()) == []
