"""`audit`: from the sample to the certificate, by the command line, on each database."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from cascade.bundle import SHIPPED, Bundle
from db.catalogue import Catalogue
from db.records import LabelFields
from tests.commands.running import lines, run
from tests.db.samples import MODEL, labelled, put, register, sandals

SANDALS, BOOTS = "shoes/female/sandals", "shoes/male/boots"


def filled(url: str, fields: list[LabelFields], model: str = MODEL) -> None:
    """A crawl `spring` with a picture for each of the labels."""
    catalogue = register(Catalogue.open(url))
    if model != MODEL:
        catalogue.register_model(model, [])
    put(catalogue, [labelled(f"/{n}", each) for n, each in enumerate(fields)], model)
    catalogue.close()


def answer(url: str, audit: int, wrong: set[str], skipped: int = 0) -> None:
    """Answer the pictures of an audit by the sheet: wrong are those whose path is in `wrong`."""
    run(
        "review",
        "sheet",
        "sheet.html",
        "--audit",
        str(audit),
        "--limit",
        "5000",
        "--catalogue",
        url,
    )
    with Path("sheet.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for row in table[skipped:]:
        row["correct_label"] = "shoes/male/sandals" if row["path"] in wrong else "ok"
    with Path("filled.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    run("review", "apply", "filled.csv", "--catalogue", url)
    Path("sheet.csv").unlink()


def test_audit_from_start_to_certificate(
    catalogue_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = ("--catalogue", catalogue_url)
    filled(catalogue_url, [sandals(confidence=0.9)] * 160)
    done = run("audit", "start", "spring", "--limit", "150", "--seed", "5", "--by", "mara", *url)
    assert "150 of 160 labels of crawl spring, model model-1, seed 5" in done.stdout
    assert "/?audit=1" in done.stderr
    before = run("audit", "report", "spring", *url)
    assert before.stdout.startswith("Not certifiable") and "150 of 150 pictures" in before.stdout

    answer(catalogue_url, 1, wrong=set())
    done = run("audit", "report", "spring", "--html", "report.html", *url)
    assert "Certified: at least 98 % of the sure labels are right" in done.stdout
    assert "150 looked at, no mistake" in done.stdout
    # one-sided Clopper-Pearson, 150 of 150: 0.05 ** (1 / 150) is 98.02 %
    assert "at least 98 %" in done.stdout and "at least 98.1 %" not in done.stdout
    page = Path("report.html").read_text()
    assert "<script" not in page and "Certified: at least 98 %" in page and "seed 5" in page
    (kept,) = lines(run("audit", "list", "--format", "jsonl", *url))
    assert kept["result"].startswith("Certified") and kept["started_by"] == "mara"

    nothing = run("audit", "report", "spring", "--apply", *url, exit_code=2)
    assert "--apply together with --out" in nothing.stderr
    other = run("audit", "report", "spring", "--apply", "--out", "new", *url, exit_code=2)
    assert "expected the audited model model-1" in other.stderr
    assert not Path("new").exists()


def test_a_mistake_and_a_missing_answer_prevent_it_and_a_new_audit_is_stricter(
    catalogue_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = ("--catalogue", catalogue_url)
    filled(catalogue_url, [sandals(confidence=0.5 + n / 1000) for n in range(320)])
    run("audit", "start", "spring", "--limit", "320", *url)
    answer(catalogue_url, 1, wrong={"/7"}, skipped=3)  # the least confident come first
    found = json.loads(run("audit", "report", "spring", "--format", "json", *url).stdout)
    assert (found["sample"], found["answered"]) == (320, 317)
    (sure,) = [bound for bound in found["bounds"] if bound["name"] == "sure labels"]
    assert sure["of"] - sure["count"] == 4
    certificate = found["certificate"]
    assert certificate["threshold"] is None
    assert certificate["more"] == 456 - 320  # the smallest sample with four mistakes, exactly
    assert "do not go on with this sample" in found["summary"][0].casefold()
    again = run("audit", "start", "spring", "--limit", "150", *url)
    assert "audit 2 of this crawl and model: judged at 97.5 % confidence" in again.stderr


def test_apply_raises_thresholds_to_what_was_certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sure labels below 0.9 are wrong; those above are right, and certified by themselves."""
    monkeypatch.chdir(tmp_path)
    bundle = Bundle.open(SHIPPED)
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    fields = [sandals(confidence=0.95 if n < 330 else 0.7) for n in range(360)]
    filled(url, fields, bundle.version)
    run("audit", "start", "spring", "--limit", "360", "--catalogue", url)
    answer(url, 1, wrong={f"/{n}" for n in range(330, 360)})
    command = ("audit", "report", "spring", "--catalogue", url)
    done = run(*command, "--apply", "--out", "certified")
    assert "the sure labels with a confidence of 0.8 or more" in done.stdout
    made = Bundle.open("certified")
    assert made.version != bundle.version and made.version in done.stderr
    assert made.manifest["training"]["tuned_from"] == bundle.version
    lineage = made.manifest["training"]["audit"]
    assert (lineage["id"], lineage["crawl"], lineage["threshold"]) == (1, "spring", 0.8)
    old, new = bundle.routing.thresholds, made.routing.thresholds
    for node in bundle.taxonomy.nodes:
        before = old.get(node.path, 0.0)
        is_leaf = node.path in bundle.taxonomy.leaves
        assert new.get(node.path, 0.0) == (max(before, 0.8) if is_leaf else before)
    assert "by an audit of crawl spring" in (made.folder / "MODEL_CARD.md").read_text()
    again = run(*command, "--apply", "--out", "certified", exit_code=5)
    assert "is there already" in again.stderr

    run("audit", "start", "spring", "--limit", "100", "--catalogue", url)  # too few
    nothing = run(*command, "--apply", "--out", "nothing", exit_code=1)
    assert "nothing is certified" in nothing.stderr and not Path("nothing").exists()


def test_stratified_audits_see_rare_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    boots = sandals(gender="male", type="boots", model_label=BOOTS, best_leaf=BOOTS)
    filled(url, [*[sandals()] * 190, *[boots] * 10])
    command = ("audit", "start", "spring", "--stratified", "--limit", "40", "--catalogue", url)
    run(*command, "--at-least", "8")
    answer(url, 1, wrong={"/190", "/191", "/192"})
    found = json.loads(
        run("audit", "report", "spring", "--format", "json", "--catalogue", url).stdout
    )
    assert found["design"] == "stratified"
    of = {bound["name"]: (bound["of"], bound["rows"]) for bound in found["by_label"]}
    assert of == {SANDALS: (38, 190), BOOTS: (8, 10)}
    (sure,) = [bound for bound in found["bounds"] if bound["name"] == "sure labels"]
    assert sure["of"] == 40  # two boots have the share of the crawl, the other six are extra


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("start", "autumn"), "autumn"),
        (("report", "spring"), "has no audit"),
        (("start", "spring", "--sure-only"), "no sure label"),
        (("start", "spring", "--model-version", "x"), "received 'x'"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    filled(url, [sandals(needs_review=True)] * 3)
    done = run("audit", *arguments, "--catalogue", url, exit_code=2)
    assert words in done.stderr
