"""`review suspects`: the few labels of people that contradict all others."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cascade.drawings import write_sample_crawl
from tests.commands.running import lines, run


def test_wrong_corrections_are_listed_first(
    adaptable_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_CASCADE_MODEL", str(adaptable_bundle))
    write_sample_crawl("spring", 4, 51, junk=False, labelled=True)
    run("label", "spring")
    nobody = run("review", "suspects", exit_code=2)
    assert "label of a person" in nobody.stderr
    run("review", "sheet", "all.html", "--limit", "1000")
    with Path("all.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    wrong = {}
    for line in table:
        truth = Path(line["path"]).relative_to(Path("spring").resolve()).parent.as_posix()
        line["correct_label"] = truth
        # another category, which no drawing of these looks like
        if truth.startswith("glasses/") and line["path"].endswith("0001.jpg"):
            line["correct_label"] = "shoes/male/boots"
            wrong[int(line["id"])] = truth
    assert len(wrong) == 2
    with Path("all.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    run("review", "apply", "all.csv", "--by", "mara")
    found = lines(run("review", "suspects", "--all", "--limit", "1000", "--format", "jsonl"))
    assert len(found) == len(table)
    places = [place for place, each in enumerate(found) if each["id"] in wrong]
    assert max(places) < len(table) // 10
    margins = [each["margin"] for each in found]
    assert margins == sorted(margins)
    doubtful = lines(run("review", "suspects", "--limit", "1000", "--format", "jsonl"))
    assert {each["id"] for each in doubtful} == {e["id"] for e in found if e["margin"] < 0}
    assert all(each["suggested"] != each["label"] for each in doubtful)
    only = run("review", "suspects", "--label", "glasses/*", exit_code=2)
    assert "expected" in only.stderr
