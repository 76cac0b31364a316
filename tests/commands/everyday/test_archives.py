"""A zip archive through label, export and the review sheet, without a file unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.commands.running import lines, run
from tests.pictures import GREEN, RED, encoded, solid


def test_a_zip_is_labelled_and_its_members_are_opened_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("spring.zip", "w") as archive:
        archive.writestr("asos/1.png", encoded(solid(GREEN), "PNG"))
        archive.writestr("zara/2.png", encoded(solid(RED), "PNG"))
        archive.writestr("../3.png", encoded(solid(RED), "PNG"))
    model = ("--model", "constant:glasses/optical")
    done = run("label", "spring.zip", "--shop-from", "folder", *model, exit_code=1)
    assert "labelled 2, rejected 1" in done.stderr
    assert "rejected as outside_root: 1" in done.stderr
    again = run("label", "spring.zip", "--format", "jsonl", *model, exit_code=1)
    assert "skipped as done 2" in again.stderr
    found = lines(
        run(
            "query",
            "--status",
            "labelled",
            "--crawl",
            "spring",
            "--columns",
            "path,shop",
            "--format",
            "jsonl",
        )
    )
    zipped = f"{tmp_path}/spring.zip!/"
    assert {row["path"]: row["shop"] for row in found} == {
        f"{zipped}asos/1.png": "asos",
        f"{zipped}zara/2.png": "zara",
    }
    run("review", "sheet", "sheet.html", "--status", "labelled")
    assert Path("sheet.html").read_text().count("data:image/jpeg;base64,") == 2
    assert "2 rows," in run("export", "tree", "--format", "tree", "--links", "copy").stdout
    names = {path.name.partition("_")[2] for path in Path("tree").rglob("*.png")}
    assert names == {"1.png", "2.png"}
    linked = run("export", "links", "--format", "tree")
    assert "2 pictures missing" in linked.stderr
    assert not Path("asos").exists()
