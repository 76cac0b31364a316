"""The commands `train`, `evaluate`, `tune-thresholds` and `sweep`."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade.bundle import SHIPPED, Bundle, BundleParts, seal, write_parts
from cascade.data.prepare import prepare
from cascade.drawings import write_sample_crawl
from cascade.errors import DatasetError
from cascade.evaluation.evaluate import ConfusionMatrix
from cascade.evaluation.plots import confusion_csv
from cascade.networks.architectures import build_trunk
from cascade.networks.serialisation import write_network
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from tests.commands.running import run


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled drawings that the small bundle was not trained on."""
    folder = tmp_path_factory.mktemp("drawings")
    write_sample_crawl(folder, 3, 5, junk=False, labelled=True)
    return folder


def squares(folder: Path) -> None:
    """Folders of three labels that are easy to tell apart, five different pictures each."""
    for label, left in (("shapes/left", 5), ("shapes/right", 50), ("out_of_scope", None)):
        for number in range(5):
            picture = Image.new("RGB", (90, 120), (255, 255, 255))
            if left is not None:
                picture.paste(
                    (20 * number, 30, 90), (left, 5 + 18 * number, left + 30, 50 + 14 * number)
                )
            else:
                picture.paste((10, 10, 40 * number), (0, 20 * number, 90, 20 * number + 15))
            path = folder / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)


def test_evaluate_prints_figures_and_matrices(small_bundle: Path, drawings: Path) -> None:
    shown = run("evaluate", str(drawings), "--model", str(small_bundle)).stdout
    assert "54 pictures, 0 of them" in shown
    assert "leaf, in scope" in shown
    assert "confusion of shoes" in shown


def test_evaluate_as_json_agrees_with_classify(small_bundle: Path, drawings: Path) -> None:
    from cascade.classifier import Cascade
    from cascade.data.dataset import decode_items, read_labelled_folder

    found = json.loads(
        run("evaluate", str(drawings), "--model", str(small_bundle), "--format", "json").stdout
    )
    cascade = Cascade.load(small_bundle)
    pictures = decode_items(read_labelled_folder(drawings, cascade.taxonomy), cascade.preprocessing)
    answers = cascade.classify(pictures.pixels)  # routed, as a worker does it
    right = [
        answer.best_leaf == item.label
        for answer, item in zip(answers, pictures.items, strict=True)
        if item.label != "out_of_scope"
    ]
    leaf = found["rates"]["leaf, in scope"]
    assert (leaf["right"], leaf["count"]) == (sum(right), 51)
    assert found["model"] == cascade.version
    assert sum(map(sum, found["confusion"]["leaf"]["table"])) == 54


def test_evaluate_leaves_out_the_sources_that_match(
    small_bundle: Path, drawings: Path, tmp_path: Path
) -> None:
    paths = sorted(drawings.rglob("*.jpg"))
    sources = [("brand_a", "brand_b", "home")[number % 3] for number in range(len(paths))]
    lines = [
        f"{path},{path.parent.relative_to(drawings)},{source}"
        for path, source in zip(paths, sources, strict=True)
    ]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(["path,label,source", *lines]))
    asked = ("evaluate", str(manifest), "--model", str(small_bundle), "--without-source")
    found = json.loads(run(*asked, "brand_*", "--format", "json").stdout)
    assert found["pictures"] == sources.count("home") > 0
    assert found["without_sources"] == ["brand_*"]
    assert "without brand_*" in run(*asked, "brand_*").stdout
    unknown = run(*asked, "bramd_*", exit_code=2)
    assert "no picture has a source that matches; the sources are: brand_a" in unknown.stderr
    assert "no pictures are left" in run(*asked, "*", exit_code=2).stderr


def test_evaluate_writes_the_page_and_the_figures(
    small_bundle: Path, drawings: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "figures" / "confusion-leaf.csv"
    kept.parent.mkdir()
    kept.symlink_to(tmp_path / "elsewhere.csv")
    run(
        *("evaluate", str(drawings), "--model", str(small_bundle), "--compare", str(small_bundle)),
        *("--html", str(tmp_path / "page.html"), "--figures", str(tmp_path / "figures")),
    )
    assert "data:image/png;base64," in (tmp_path / "page.html").read_text()
    assert kept.is_symlink()
    assert (tmp_path / "elsewhere.csv").read_text().startswith("truth,")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"reliability.png", "coverage.png", "confusion-leaf.png", "confusion-shoes.csv"} <= names
    with Image.open(tmp_path / "figures" / "confusion-leaf.png") as picture:
        assert picture.size[0] > 300
    (tmp_path / "taken" / "coverage.png").mkdir(parents=True)
    taken = ("--figures", str(tmp_path / "taken"))
    said = run("evaluate", str(drawings), "--model", str(small_bundle), *taken, exit_code=2)
    assert "coverage.png" in said.stderr


def test_bundles_of_different_input_sizes_are_compared_each_at_its_own(
    drawings: Path, tmp_path: Path
) -> None:
    """The figures of each are those that it has alone."""
    shipped = Bundle.open()
    student = build_trunk(shipped.decisions, 80, 60, blocks=2)
    write_network(tmp_path / "student", 0, student)
    size = Preprocessing(width=60, height=80)
    numbers = [0] * len(tuple(shipped.decisions))
    parts = BundleParts(shipped.taxonomy, size, "combined", shipped.decisions, numbers)
    write_parts(tmp_path / "student", parts)
    seal(tmp_path / "student", {}, {})
    asked = ("evaluate", str(drawings), "--format", "json", "--model")
    both = json.loads(run(*asked, "accurate", "--compare", str(tmp_path / "student")).stdout)
    alone = json.loads(run(*asked, str(tmp_path / "student")).stdout)
    compared = both["compared"]
    assert compared["model"] == alone["model"] != both["model"] == shipped.version
    for name in ("leaf, in scope", "primary"):
        own, other = both["rates"][name]["right"], alone["rates"][name]["right"]
        assert compared[name]["only_first"] - compared[name]["only_second"] == own - other != 0


def test_train_leaves_out_the_sources_that_match(drawings: Path, tmp_path: Path) -> None:
    said = run(
        *("train", str(drawings), "--without-source", "zappos_*", "--out", str(tmp_path / "out")),
        exit_code=2,
    )
    assert "only a manifest has sources to leave out" in said.stderr
    paths = sorted(drawings.rglob("*.jpg"))
    manifest = tmp_path / "manifest.csv"
    lines = [f"{p},{p.parent.relative_to(drawings)},,brand_{n % 2}" for n, p in enumerate(paths)]
    manifest.write_text("\n".join(["path,label,split,source", *lines]))
    tree = Taxonomy.load()
    asked = (manifest, tree, Preprocessing(width=18, height=24), 1)
    with pytest.raises(DatasetError, match="no picture has a source that matches"):
        prepare(*asked, without=["bramd_*"])
    with pytest.raises(DatasetError, match="no pictures are left"):
        prepare(*asked, without=["*"])


@pytest.mark.parametrize("place", [".env", "fashion-cascade.toml"])
def test_the_setting_of_the_model_is_used(
    small_bundle: Path,
    drawings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASHION_CASCADE_MODEL", raising=False)
    name = "FASHION_CASCADE_MODEL" if place == ".env" else "model"
    Path(place).write_text(f'{name}="{small_bundle}"\n')
    done = run("evaluate", str(drawings), "--format", "json")
    version = Bundle.open(small_bundle).version
    assert json.loads(done.stdout)["model"] == version
    run("tune-thresholds", str(drawings), "--precision", "0.6", "--out", "tuned")
    weights = Path("networks", "0.npz")
    assert Path("tuned", weights).read_bytes() == (small_bundle / weights).read_bytes()
    shipped = run("evaluate", str(drawings), "--model", str(SHIPPED), "--format", "json").stdout
    assert json.loads(shipped)["model"] != version
    # both bundles have the same tree, so the folder tells them apart
    assert "shoes" in run("taxonomy").stdout
    Path(place).write_text(f'{name}="absent"\n')
    assert "absent" in run("taxonomy", exit_code=5).stderr


def test_a_manifest_in_another_encoding_is_read_on_request(
    small_bundle: Path, drawings: Path, tmp_path: Path
) -> None:
    lines = [
        f"{path},{path.parent.relative_to(drawings)},validation,Müller"
        for path in sorted(drawings.rglob("*.jpg"))
    ]
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes("\n".join(["path,label,split,source", *lines]).encode("cp1252"))
    model = ("--model", str(small_bundle))
    out, work = ("--out", str(tmp_path / "out")), ("--precision", "0.6")
    for words in (
        ("evaluate", str(manifest), *model),
        ("tune-thresholds", str(manifest), *model, *out, *work),
        ("train", str(manifest), *out),
        ("sweep", str(manifest), "--node", "shoes", *out),
    ):
        said = run(*words, exit_code=2).stderr
        assert "manifest.csv, line 2" in said
        assert "--encoding cp1252" in said
    cp1252 = ("--encoding", "cp1252")
    asked = (*model, "--without-source", "Müller", *cp1252)
    assert "no pictures are left" in run("evaluate", str(manifest), *asked, exit_code=2).stderr
    for words in (("train",), ("sweep", "--node", "shoes")):
        said = run(words[0], str(manifest), *words[1:], *out, *cp1252, exit_code=2).stderr
        assert "no picture in train" in said
    run("tune-thresholds", str(manifest), *model, *out, *work, *cp1252)


def test_a_confusion_matrix_with_any_names_is_read_back() -> None:
    names = ("plain", "a,b", 'a"b', "a\rb", "a\nb", " é")
    counts = np.arange(36).reshape(6, 6)
    text = confusion_csv(ConfusionMatrix(names, counts))
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["truth", *names]
    assert [(truth, list(map(int, row))) for truth, *row in rows] == [
        (name, row.tolist()) for name, row in zip(names, counts, strict=True)
    ]


def test_evaluate_reports_pictures_that_cannot_be_read(small_bundle: Path, tmp_path: Path) -> None:
    write_sample_crawl(tmp_path, 1, 5, junk=False, labelled=True)
    (tmp_path / "glasses" / "optical" / "broken.jpg").write_bytes(b"<html>")
    result = run("evaluate", str(tmp_path), "--model", str(small_bundle), exit_code=1)
    assert "broken.jpg: not_an_image" in result.stderr
    assert "18 pictures" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["evaluate", "{empty}"], 2, "no pictures"),
        (["evaluate", "{wrong}"], 2, "hats"),
        (["evaluate", "{wrong}", "--model", "{empty}"], 5, "no bundle there"),
        (["train", "{empty}", "--out", "{out}"], 2, "no pictures"),
        (["train", "{wrong}", "--out", "{out}", "--taxonomy", "folders"], 2, "two leaves"),
        (["train", "{wrong}", "--out", "{out}", "--experiment", "huge"], 2, "original-l2"),
        (["train", "{wrong}", "--out", "{out}"], 2, "of your own, add --taxonomy folders"),
        (["sweep", "{wrong}", "--node", "hats", "--out", "{out}"], 2, "trousers_jeans"),
        (["sweep", "{wrong}", "--node", "hats", "--out", "{out}"], 2, "add --taxonomy folders"),
        (["sweep", "{wrong}", "--node", "shoes", "--out", "{out}"], 2, "add --taxonomy folders"),
        (["sweep", "{wrong}", "--node", "shoes", "--out", "{out}", "--param", "x=1"], 2, "NAME="),
    ],
)
def test_unusable_arguments_have_messages_and_exit_codes(
    small_bundle: Path, tmp_path: Path, arguments: list[str], exit_code: int, says: str
) -> None:
    places = {name: tmp_path / name for name in ("empty", "wrong", "out")}
    places["empty"].mkdir()
    (places["wrong"] / "hats").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(places["wrong"] / "hats" / "1.png")
    texts = [text.format(**places) for text in arguments]
    if "--model" not in texts and texts[0] == "evaluate":
        texts += ["--model", str(small_bundle)]
    assert says in run(*texts, exit_code=exit_code).stderr


def test_the_message_for_a_folder_below_the_labels_names_the_right_one(
    small_bundle: Path, drawings: Path
) -> None:
    asked = ("evaluate", str(drawings / "shoes" / "female"), "--model", str(small_bundle))
    said = run(*asked, exit_code=2).stderr
    assert f"name {drawings.resolve()}, where the label is shoes/female/ballerina" in said


def test_a_folder_of_folders_becomes_a_bundle(tmp_path: Path) -> None:
    squares(tmp_path / "squares")
    arguments = ["train", str(tmp_path / "squares"), "--taxonomy", "folders"]
    arguments += ["--experiment", "original", "--epochs", "2", "--out", str(tmp_path / "bundle")]
    taught = [*arguments, "--teacher", str(SHIPPED)]
    assert "one network for all" in run(*taught, exit_code=2).stderr
    assert "WIDTHxHEIGHT" in run(*arguments, "--input-size", "big", exit_code=2).stderr
    arguments += ["--input-size", "45x60"]
    result = run(*arguments)
    frame = json.loads((tmp_path / "bundle" / "preprocessing.json").read_text())
    assert (frame["width"], frame["height"]) == (45, 60)
    assert "epoch 2 of 2" in result.stderr
    told = result.stderr.splitlines()
    place = next(number for number, line in enumerate(told) if line.startswith("test, "))
    primary, leaf, sure, right, rest = told[place + 1 : place + 6]
    assert primary.split()[0] == "primary" and "/" in primary
    assert leaf.startswith("  leaf, in scope")
    assert sure.startswith("  labels without review ") and right.startswith("  labels without ")
    assert rest.endswith("MODEL_CARD.md")
    assert all(line.startswith("warning: ") for line in told[place + 6 :])
    card = json.loads((tmp_path / "bundle" / "manifest.json").read_text())["training"]
    assert card["pictures"] == {"out_of_scope": 3, "shapes/left": 3, "shapes/right": 3}
    shown = run("evaluate", str(tmp_path / "squares"), "--model", str(tmp_path / "bundle")).stdout
    assert "15 pictures" in shown
    assert "is there already" in run(*arguments, exit_code=2).stderr


@pytest.mark.parametrize("command", [("train",), ("sweep", "--node", "primary")])
def test_tensorflow_says_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "empty").mkdir()
    words = [sys.executable, "-m", "cli", *command, "empty", "--taxonomy", "folders", "--out", "o"]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = (
        "fashion-cascade: empty: no pictures in it; expected folders like shoes/female/sandals\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_folders_of_your_own_are_swept(tmp_path: Path) -> None:
    squares(tmp_path / "squares")
    out = tmp_path / "sweep"
    arguments = ["sweep", str(tmp_path / "squares"), "--taxonomy", "folders", "--node", "shapes"]
    arguments += ["--param", "filters_number=4,8", "--epochs", "1", "--out", str(out)]
    said = run(*arguments).stdout
    assert "filters_number" in said
    assert len(list(out.glob("*/"))) >= 2


def test_experiments_are_listed() -> None:
    names = [line.split()[0] for line in run("train", "--list-experiments").stdout.splitlines()]
    assert {"trunk", "original", "original-hierarchical", "original-dense-1024"} <= set(names)


def test_tune_thresholds_prints_thresholds_and_coverage(
    small_bundle: Path, drawings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "looser"
    result = run(
        *("tune-thresholds", str(drawings), "--model", str(small_bundle), "--precision", "0.6"),
        *("--out", str(out), "--decoding", "tree_distance"),
    )
    assert "shoes/male/boots" in result.stdout
    assert "of 54 pictures are labelled down to a leaf" in result.stderr
    found = json.loads(
        run("evaluate", str(drawings), "--model", str(out), "--format", "json").stdout
    )
    before = json.loads(
        run("evaluate", str(drawings), "--model", str(small_bundle), "--format", "json").stdout
    )
    name = "mean tree distance of all labels"
    assert found["numbers"][name] <= before["numbers"][name]
    assert found["model"] != before["model"]


def test_tune_thresholds_across_shops_puts_home_and_elsewhere_first_on_the_card(
    small_bundle: Path, drawings: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.csv"
    paths = sorted(drawings.rglob("*.jpg"))
    with manifest.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "split", "source"))
        for number, path in enumerate(paths):
            label = str(path.parent.relative_to(drawings))
            source = ("home", "north_1", "south")[number % 3]
            rows.writerow((path, label, "validation" if source == "home" else "train", source))
    arguments = ["tune-thresholds", str(manifest), "--split", "validation", "--precision", "0.6"]
    arguments += ["--shop", "north_*", "--shop", "south"]
    first, second = tmp_path / "first", tmp_path / "second"
    shown = run(*arguments, "--model", str(small_bundle), "--out", str(first))
    assert [line.split()[0] for line in shown.stdout.splitlines()[2:5]] == [
        "home",
        "north_*",
        "south",
    ]
    assert "of 36 pictures are labelled down to a leaf" in shown.stderr
    found = json.loads(
        run(*arguments, "--model", str(first), "--out", str(second), "--format", "json").stdout
    )
    assert set(found["sure"]["elsewhere"]["shops"]) == {"north_*", "south"}
    assert found["sure"]["home"]["coverage"]["count"] == 18
    for folder in (first, second):
        card = (folder / "MODEL_CARD.md").read_text()
        lines = [line for line in card.splitlines() if line]
        assert lines[0] == "# Model card"
        assert lines[1].startswith("**Sure labels at home**")
        assert lines[2].startswith("**Sure labels elsewhere**")
        assert card.count("**Sure labels at home**") == 1
        manifest_of = json.loads((folder / "manifest.json").read_text())
        assert manifest_of["training"]["shops"] == ["north_*", "south"]
        assert set(manifest_of["figures"]) == {"tuned_on"}
    arguments = [*arguments[:-2], "--model", str(small_bundle), "--out", str(tmp_path / "third")]
    assert "at least 2 shops" in run(*arguments, exit_code=2).stderr


def test_unfamiliar_pictures_need_a_review_and_older_programs_refuse_the_bundle(
    drawings: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "drawings"
    write_sample_crawl(folder, 6, 7, junk=False, labelled=True)  # 108, read by the shipped bundle
    bundles = {}
    for name, options in (("plain", []), ("familiar", ["--familiar", "0.7"])):
        bundles[name] = tmp_path / name
        run(
            "tune-thresholds",
            str(folder),
            "--precision",
            "0.6",
            *options,
            "--out",
            str(tmp_path / name),
        )

    def shown(name: str) -> dict[str, dict[str, int]]:
        arguments = ["evaluate", str(drawings), "--model", str(bundles[name]), "--format", "json"]
        rates: dict[str, dict[str, int]] = json.loads(run(*arguments).stdout)["rates"]
        return rates

    plain, familiar = shown("plain"), shown("familiar")
    right = "labels right, at any depth"
    assert plain[right]["right"] == familiar[right]["right"]  # the labels stay
    sure = "labels without review"
    assert familiar[sure]["right"] < plain[sure]["right"]
    manifests = [json.loads((path / "manifest.json").read_text()) for path in bundles.values()]
    assert [each["format"] for each in manifests] == [1, 2]
    assert (
        "70 % of the pictures are familiar" in (bundles["familiar"] / "MODEL_CARD.md").read_text()
    )
    again = tmp_path / "again"  # without the option, all are familiar
    run("tune-thresholds", str(folder), "--model", str(bundles["familiar"]), "--out", str(again))
    assert json.loads((again / "manifest.json").read_text())["format"] == 1
    failed = run(
        *("tune-thresholds", str(drawings), "--familiar", "0.9", "--out", str(tmp_path / "few")),
        exit_code=2,
    )
    assert "expected at least 100 pictures" in failed.stderr
    assert not (tmp_path / "few").exists()
