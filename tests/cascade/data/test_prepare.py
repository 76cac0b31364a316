"""From folders, manifests and ``.npz`` files to splits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade.data.dataset import read_labelled_folder
from cascade.data.npz import read_npz
from cascade.data.prepare import prepare, taxonomy_of_folders
from cascade.errors import DatasetError
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from worker.sources.scan import SkippedFiles, walk

from .test_near_duplicates import article

TREE = Taxonomy.load()
FRAME = Preprocessing()


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    article(seed).save(path)


def test_a_folder_of_labels_is_split_by_near_duplicates(tmp_path: Path) -> None:
    for kind, label in enumerate(("toys/ball", "toys/car", "out_of_scope/shirts")):
        for number in range(5):
            save(tmp_path / label / f"{number}.png", 100 * kind + number)
            save(tmp_path / label / f"{number}-again.jpg", 100 * kind + number)
    tree = taxonomy_of_folders(tmp_path)
    assert tree.leaves == ("toys/ball", "toys/car", "out_of_scope")
    prepared = prepare(tmp_path, tree, FRAME, seed=1)
    parts = (prepared.train, prepared.validation, prepared.test)
    assert sum(len(part) for part in parts) == 30
    for part in parts:
        assert {item.label for item in part.items} == set(tree.leaves)
        names = [Path(item.path).stem.removesuffix("-again") for item in part.items]
        assert all(names.count(name) % 2 == 0 for name in names)


def test_given_splits_are_kept_and_a_copy_across_them_is_refused(tmp_path: Path) -> None:
    for split, seed in (("train", 1), ("validation", 2), ("test", 3)):
        save(tmp_path / split / "glasses/optical/1.png", seed)
    assert len(prepare(tmp_path, TREE, FRAME, seed=1).test) == 1
    save(tmp_path / "test" / "glasses/optical/2.png", 1)
    with pytest.raises(DatasetError, match="more than one split"):
        prepare(tmp_path, TREE, FRAME, seed=1)


def test_groups_of_a_manifest_are_kept(tmp_path: Path) -> None:
    lines = ["path,label,split,source,group"]
    for number, split in enumerate(("train", "validation", "test")):
        save(tmp_path / f"{number}.png", number)
        lines.append(f"{number}.png,shoes/?/boots,{split},shop,g{number}")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(lines))
    prepared = prepare(manifest, TREE, FRAME, seed=1)
    assert prepared.train.items[0].source == "shop"
    manifest.write_text("\n".join(lines).replace("g2", "g0"))
    with pytest.raises(DatasetError, match="'g0'"):
        prepare(manifest, TREE, FRAME, seed=1)
    manifest.write_text("\n".join(line for line in lines if "validation" not in line))
    with pytest.raises(DatasetError, match="no picture in validation"):
        prepare(manifest, TREE, FRAME, seed=1)


def test_npz_of_the_original_project(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (6, 120, 90, 3)).astype(np.uint8)
    labels = [
        "shoes-Female-sandals",
        "high_heels",
        "shoes-boots",
        "boots",
        "glasses-optical",
        "jeans",
    ]
    genders = ["", "Female", "male", "", "", "Male"]
    path = tmp_path / "pictures.npz"
    np.savez(path, images=images, labels=labels, genders=genders)
    found = read_npz(path, TREE, FRAME)
    assert [item.label for item in found.items] == [
        "shoes/female/sandals",
        "shoes/female/high_heels",
        "shoes/male/boots",
        "shoes/?/boots",
        "glasses/optical",
        "trousers_jeans/male/jeans",
    ]
    assert np.array_equal(found.pixels, images)
    np.savez(
        path, images=images / 255, labels=[0, 0, 1, 1, 0, 1], classes=["optical", "sunglasses"]
    )
    numbered = read_npz(path, TREE, FRAME)
    assert numbered.items[2].label == "glasses/sunglasses"
    assert np.array_equal(numbered.pixels, images)


def test_npz_pictures_of_another_size_are_decoded_as_files_are(tmp_path: Path) -> None:
    wide = np.asarray(article(1).resize((200, 100)))
    np.savez(tmp_path / "a.npz", images=wide[None], labels=["glasses/optical"])
    found = read_npz(tmp_path / "a.npz", TREE, FRAME)
    Image.fromarray(wide).save(tmp_path / "same.png")
    from cascade.pictures.decode import load

    assert np.array_equal(found.pixels[0], load(str(tmp_path / "same.png"), FRAME).pixels)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": np.zeros((1, 4, 4, 3), np.uint8)}, "images and labels"),
        ({"images": np.zeros((1, 4, 4)), "labels": ["boots"]}, r"\(N, height, width, 3\)"),
        ({"images": np.full((1, 4, 4, 3), 7.0), "labels": ["boots"]}, "floats from 0 to 1"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": ["boots"]}, "2 images, 1 labels"),
        ({"images": np.zeros((1, 4, 4, 3), np.uint8), "labels": [3]}, "classes"),
        ({"images": np.zeros((1, 4, 4, 3), np.uint8), "labels": ["hat"]}, "'hat'"),
        ({"images": np.zeros((1, 4, 4, 3), np.uint8), "labels": ["other"]}, "no picture"),
    ],
)
def test_invalid_arrays_are_refused(tmp_path: Path, arrays: dict, says: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DatasetError, match=says):
        read_npz(tmp_path / "a.npz", TREE, FRAME)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    labels = np.array(["boots", None], object)
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 120, 90, 3), np.uint8), labels=labels)
    with pytest.raises(DatasetError, match="pickles are refused"):
        read_npz(tmp_path / "a.npz", TREE, FRAME)


NAMES = ("a.jfif", "a", "a.jpg?w=200", "a.JPG", ".hidden.jpg", "notes.txt", "a.db")


def test_training_takes_the_files_that_label_takes(tmp_path: Path) -> None:
    """And no hidden folder becomes a class, nor one without a picture."""
    save(tmp_path / "drawn.png", 1)
    picture = (tmp_path / "drawn.png").read_bytes()
    crawl = tmp_path / "crawl"
    for label in ("toys/ball", "toys/car", ".git/objects", "toys/.cache"):
        (crawl / label).mkdir(parents=True)
        for name in NAMES:
            (crawl / label / name).write_bytes(picture)
    taken = sorted(file.path for file in walk(str(crawl), SkippedFiles()))
    assert sorted(item.path for item in read_labelled_folder(crawl, None)) == taken
    assert len(taken) == 2 * 4
    (crawl / "LICENSE").write_text("Free.")
    (crawl / "scripts").mkdir()
    (crawl / "scripts" / "Makefile").write_text("all:")
    os.mkfifo(crawl / "scripts" / "pipe")
    tree = taxonomy_of_folders(crawl)
    assert tree.leaves == ("toys/ball", "toys/car")
    assert sorted(item.path for item in read_labelled_folder(crawl, tree)) == taken
    (crawl / "scripts" / "b").write_bytes(picture)
    with pytest.raises(DatasetError, match="'scripts' is not a label"):
        read_labelled_folder(crawl, tree)


@pytest.mark.parametrize(("above", "warned"), [("", True), ("toys", False)])
def test_a_flat_folder_is_told_how_labels_can_stop_earlier(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, above: str, warned: bool
) -> None:
    for number, name in enumerate((f"{above}/ball", f"{above}/car", "out_of_scope/shirts")):
        save(tmp_path / name.strip("/") / "1.png", number)
    tree = taxonomy_of_folders(tmp_path)
    assert tree.leaves == (f"{above}/ball".strip("/"), f"{above}/car".strip("/"), "out_of_scope")
    assert ("them into one folder" in caplog.text) == warned
