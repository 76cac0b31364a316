"""`review pick`: a sheet of doubtful, different pictures, a part of them at random."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from cascade.drawings import write_sample_crawl
from tests.commands.running import run


def table(name: str) -> list[dict[str, str]]:
    with Path(name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_pick_writes_a_sheet_and_marks_the_random_ones(
    adaptable_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample_crawl("spring", 3, 41, junk=False, labelled=True)
    (first,) = Path("spring/shoes/male/boots").glob("0001.jpg")
    for number in range(6):
        shutil.copy(first, first.with_name(f"twin{number}.jpg"))
    run("label", "spring", "--model", str(adaptable_bundle))
    Path("spring/glasses/optical/0001.jpg").unlink()
    asked = ("review", "pick", "--crawl", "spring", "--model", str(adaptable_bundle))
    done = run(*asked, "sheet.html", "--limit", "24")
    assert "24 pictures, 6 at random" in done.stderr
    assert "left out, missing: 1" in done.stderr
    lines = table("sheet.csv")
    assert len({line["id"] for line in lines}) == 24
    assert [line["note"] for line in lines].count("random") == 6
    twins = [line for line in lines if "twin" in line["path"] or line["path"].endswith(str(first))]
    assert sum(line["note"] == "" for line in twins) <= 1
    assert Path("sheet.html").read_text().count("<img") == 24
    again = run(*asked, "sheet.html", "--limit", "24", exit_code=2)
    assert "may contain corrections" in again.stderr
    run(*asked, "other.html", "--limit", "24")
    assert table("other.csv") == lines  # the same seed
    printed = run(*asked, "--limit", "24", "--format", "jsonl")
    records = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [(str(each["id"]), each["note"] or "") for each in records] == [
        (line["id"], line["note"]) for line in lines
    ]
    assert not list(Path().glob("*.jsonl")) and len(list(Path().glob("*.csv"))) == 2
    neither = run(*asked, "--limit", "24", exit_code=2)
    assert "expected TARGET or --format" in neither.stderr

    text = Path("sheet.csv").read_text().replace(",random\n", "ok,random\n")
    Path("sheet.csv").write_text(text)
    run("review", "apply", "sheet.csv")
    run(*asked, "next.html", "--limit", "500", "--random-share", "0")
    known = {line["id"] for line in lines if line["note"]}
    assert not known & {line["id"] for line in table("next.csv")}
