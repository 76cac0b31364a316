"""`adapt`: a drawn shop in another style, corrected by the truth of its folders."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cascade.bundle import Bundle
from cascade.classifier import Cascade
from cascade.data.dataset import decode_items, drawn_items
from cascade.drawings import write_sample_crawl
from tests.commands.running import lines, run

Answer = Callable[[str, dict[str, str]], str]


def draw_shop(folder: Path, per_leaf: int, seed: int) -> None:
    """Drawings on a dark ground, in false colours: a style that the bundle never saw."""
    write_sample_crawl(folder, per_leaf, seed, junk=False, labelled=True)
    for path in folder.rglob("*.jpg"):
        with Image.open(path) as picture:
            red, green, blue = ImageOps.invert(picture.convert("RGB")).split()
        Image.merge("RGB", (blue, red, green)).save(path, quality=90)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``new`` is to be corrected, ``later`` nobody looks at."""
    folder = tmp_path_factory.mktemp("shop")
    draw_shop(folder / "new", 8, 31)
    draw_shop(folder / "later", 8, 32)
    write_sample_crawl(folder / "home", 8, 33, junk=False, labelled=True)
    return folder


def right(bundle: Path, folder: Path) -> float:
    """The share of a folder's drawings whose best leaf is the folder that they are in."""
    cascade = Cascade.load(bundle, backend="tensorflow")
    pictures = decode_items(drawn_items(folder, cascade.taxonomy, "test"), cascade.preprocessing)
    answers = cascade.classify(pictures.pixels)
    hits = [a.best_leaf == i.label for a, i in zip(answers, pictures.items, strict=True)]
    return float(np.mean(hits))


def review(bundle: Path, folder: Path, answer: Answer) -> None:
    """Label a folder into catalogue.db; a person then fills in each row of the sheet."""
    run("label", str(folder), "--model", str(bundle))
    run("review", "sheet", "all.html", "--limit", "1000")
    with Path("all.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for line in table:
        truth = Path(line["path"]).relative_to(folder.resolve()).parent.as_posix()
        line["correct_label"] = answer(truth, line)
    with Path("all.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    run("review", "apply", "all.csv", "--by", "mara")


def test_adapting_learns_a_style_and_keeps_the_old_one(
    adaptable_bundle: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = (
        "adapt",
        "--from-catalogue",
        "sqlite:///catalogue.db",
        "--model",
        str(adaptable_bundle),
    )
    new = tmp_path / "new"
    new.symlink_to(shop / "new")
    review(adaptable_bundle, shop / "new", lambda truth, _: truth)
    assert "there is no crawl" in run(*asked, "--crawl", "no", "--out", "out", exit_code=2).stderr
    assert "shop 'no'" in run(*asked, "--shop", "no", "--out", "out", exit_code=2).stderr

    done = run(*asked, "--crawl", "new", "--out", "adapted")

    before, after = (right(each, shop / "later") for each in (adaptable_bundle, Path("adapted")))
    assert after > before + 0.1, (before, after)
    known, kept = (right(each, shop / "home") for each in (adaptable_bundle, Path("adapted")))
    assert kept > known - 0.06, (known, kept)
    made = Bundle.open("adapted")
    old = Bundle.open(adaptable_bundle)
    assert made.version != old.version
    assert f"adapted: model {made.version}, adapted from {old.version}" in done.stdout
    training = made.manifest["training"]
    wanted = {"adapted_from": old.version, "corrections": 144, "crawl": "new", "shop": None}
    assert {name: training[name] for name in wanted} == wanted
    assert training["fingerprint"] == old.manifest["training"]["fingerprint"]
    assert f"## Adapted from {old.version}" in Path("adapted", "MODEL_CARD.md").read_text()
    again = run(*asked, "--crawl", "new", "--out", "adapted", exit_code=5)
    assert "is there already" in again.stderr

    run("relabel", "--all", "--model", "adapted", "--diff")
    run("relabel", "--all", "--model", "adapted")
    listed = {each["version"]: each["in_use"] for each in lines(run("models", "list"))}
    assert listed == {old.version: False, made.version: True}
    run("models", "use", old.version)
    assert {e["version"] for e in lines(run("models", "list")) if e["in_use"]} == {old.version}


def test_files_that_changed_are_counted_and_nothing_to_learn_is_refused(
    adaptable_bundle: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "home"
    write_sample_crawl(folder, 4, 34, junk=False, labelled=True)
    review(adaptable_bundle, folder, lambda _, line: line["best_leaf"])
    missing, changed = sorted(folder.rglob("*.jpg"))[:2]
    missing.unlink()
    Image.new("RGB", (90, 120)).save(changed)
    asked = ("adapt", "--from-catalogue", "catalogue.db", "--model", str(adaptable_bundle))
    found = run(*asked, "--out", "out", exit_code=1)
    assert "70 of 72 corrections can be trained on" in found.stderr
    assert "left out, missing: 1" in found.stderr
    assert "left out, changed since a person saw it: 1" in found.stderr
    assert "nothing is written" in found.stderr
    assert "every one is right already" in found.stderr
    assert not Path("out").exists()
    monkeypatch.setenv("FASHION_CASCADE_ROOTS", str(folder / "glasses"))
    few = run(*asked, "--out", "out", exit_code=2)
    assert "left out, outside_root" in few.stderr
    assert "at least 10 different products" in few.stderr


def test_a_bundle_that_cannot_be_adapted_says_so(
    small_bundle: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    review(small_bundle, shop / "new", lambda truth, _: truth)
    asked = ("adapt", "--from-catalogue", "catalogue.db", "--model", str(small_bundle))
    assert "one network for all decisions" in run(*asked, "--out", "out", exit_code=5).stderr
