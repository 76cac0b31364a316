"""label, query, review, relabel, switch back, export, forget: a session of a user."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.running import lines, run

SANDALS, BOOTS = "shoes/female/sandals", "shoes/male/boots"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with three pictures in `spring`, labelled as sandals."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "spring"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (60, 80), (40 * number, 90, 20)).save(folder / f"{number}.png")
    run("label", "spring", "--model", f"constant:{SANDALS}")
    return tmp_path


def labels() -> dict[str, str]:
    """The models' labels by file name."""
    rows = lines(run("query", "--columns", "path,model_label"))
    return {Path(row["path"]).name: row["model_label"] for row in rows}


def undo_and_redo(batch: str) -> None:
    """Take back the batch of two corrections and restore it; a row that changed since is named."""
    run("review", "undo", "none", exit_code=2)
    (listed,) = lines(run("review", "batches"))
    assert (listed["batch"], listed["by"], listed["rows"]) == (batch, "mara", 2)
    assert (listed["labels"], listed["undone"]) == (f"{SANDALS}, {BOOTS}", 0)
    back = run("review", "undo", batch, "--by", "noor")
    assert back.stdout == "2 rows taken back, 0 unchanged, 0 left as they are\n"
    assert lines(run("query", "--corrected")) == []
    newest, oldest = lines(run("review", "batches"))
    assert (newest["undoes"], newest["labels"], oldest["undone"]) == (batch, "(withdrawn)", 2)
    run("review", "undo", back.stderr.split()[-1], "--by", "noor")
    assert len(lines(run("query", "--corrected"))) == 2
    left = run("review", "undo", back.stderr.split()[-1], "--by", "noor")
    assert (left.stdout, left.stderr) == (
        "0 rows taken back, 2 unchanged, 0 left as they are\n",
        "",
    )
    assert [item["by"] for item in lines(run("review", "batches", "--by", "mara"))] == ["mara"]


def test_undo_names_what_changed_since(session: Path) -> None:
    for label in (BOOTS, SANDALS):
        run("review", "sheet", f"{label[-5:]}.html", "--limit", "1")
        table = Path(f"{label[-5:]}.csv")
        header, row = table.read_text().splitlines()
        names = header.split(",")
        cells = next(csv.reader([row]))
        cells[names.index("correct_label")] = label
        table.write_text(f"{header}\n{','.join(cells)}\n")
        done = run("review", "apply", str(table), "--by", "mara" if label == BOOTS else "noor")
    first = lines(run("review", "batches"))[1]["batch"]
    left = run("review", "undo", first, exit_code=1)
    assert left.stdout == "0 rows taken back, 0 unchanged, 1 left as they are\n"
    assert "corrected by noor at" in left.stderr
    assert done.stderr.startswith("to take this back: ")


def test_review_relabel_and_switch_back(session: Path) -> None:
    run("review", "sheet", "doubtful.html", "--limit", "10")
    page = Path("doubtful.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    with Path("doubtful.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    by_name = {Path(line["path"]).name: line for line in table}
    by_name["0.png"]["correct_label"] = "shoes-Male-boots"
    by_name["1.png"]["correct_label"] = "ok"
    with Path("doubtful.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    done = run("review", "apply", "doubtful.csv", "--by", "mara")
    assert done.stdout == "2 rows corrected or confirmed, 0 unchanged\n"
    again = run("review", "apply", "doubtful.csv", "--by", "mara")
    assert (again.stdout, again.stderr) == ("0 rows corrected or confirmed, 2 unchanged\n", "")
    undo_and_redo(done.stderr.split()[-1])
    (corrected,) = lines(run("query", "--label", BOOTS))
    assert (corrected["label"], corrected["human_label"]) == (BOOTS, BOOTS)
    (corrected,) = lines(run("query", "--label", BOOTS, "--columns", "all"))
    assert (corrected["model_label"], corrected["final_label"]) == (SANDALS, BOOTS)
    whole = lines(run("review", "stats"))[0]
    assert (whole["rows"], whole["right"], whole["accuracy"]) == (2, 1, 0.5)
    table = run("review", "stats", "--format", "table").stdout.splitlines()
    assert table[2].split() == ["all", "all", "1/2", "0.5", "1/2"]

    (model,) = lines(run("models", "list"))
    assert model["in_use"] is True
    assert model["in_use_since"] is not None

    before = labels()
    new = "constant:glasses/optical"
    (flow,) = lines(run("relabel", "--model", new, "--all", "--diff", "--html", "new/diff.html"))
    page = Path("new/diff.html").read_text()
    assert "<h1>3 of 3 labels would change</h1>" in page
    assert f"<h2>{SANDALS} → glasses/optical: 3</h2>" in page
    assert page.count("data:image/jpeg;base64,") == 3
    assert "give both" in run("relabel", "--all", "--html", "x.html", exit_code=2).stderr
    assert (flow["old"], flow["new"], flow["rows"]) == (SANDALS, "glasses/optical", 3)
    assert labels() == before
    assert [(m["in_use"], m["waiting"], m["ready"]) for m in lines(run("models", "list"))] == [
        (True, 0, 0),
        (False, 0, 3),
    ]
    assert "3 rows are labelled" in run("relabel", "--model", new, "--all").stderr
    assert set(labels().values()) == {"glasses/optical"}
    assert run("query", "--label", BOOTS, "--count").stdout == "1\n"
    models = lines(run("models", "list"))
    assert sorted(model["rows"] for model in models) == [0, 3]
    assert [model["in_use"] for model in models] == [False, True]
    assert [model["in_use_until"] is None for model in models] == [False, True]
    (old,) = [model["version"] for model in models if model["rows"] == 0]
    assert "3 rows took" in run("models", "use", old).stderr
    assert labels() == before
    assert json.loads(run("models", "show", old).stdout)["in_use"] is True
    run("db", "check")


def test_export_and_import(session: Path) -> None:
    for name in ("out.csv", "out.jsonl", "out.parquet", "out.db"):
        assert "3 rows, sha256" in run("export", name).stdout
        assert Path(name).stat().st_size > 0
    run("export", "tree", "--format", "tree", "--links", "copy")
    assert len(list(Path("tree", *SANDALS.split("/")).iterdir())) == 3
    other = run("import", "out.csv", "--catalogue", "other.db")
    assert "3 rows added, 0 were there" in other.stdout
    assert run("query", "--catalogue", "other.db", "--count").stdout == "3\n"
    path = str(session / "spring" / "1.png")
    assert "1 row forgotten" in run("forget", "--path", path, "--yes").stderr
    assert run("query", "--count").stdout == "2\n"
    assert "2 rows, sha256" in run("archive", "--crawl", "spring").stdout
    assert run("query", "--count").stdout == "0\n"
    run("vacuum")
    run("db", "check")


def test_parent_folders_of_output_files_are_created(session: Path) -> None:
    for name in ("a/b/out.csv", "c/out.db", "d/out.parquet", "e/out.jsonl"):
        assert "3 rows, sha256" in run("export", name).stdout
        assert Path(name).stat().st_size > 0
    run("review", "sheet", "f/sheet.html")
    assert Path("f/sheet.csv").is_file()
    assert Path("f/sheet.html").is_file()
    assert "3 rows, sha256" in run("archive", "--crawl", "spring", "--to", "g/s.jsonl").stdout
    assert Path("g/s.jsonl").is_file()


def test_a_failure_to_create_a_folder_is_one_line(session: Path) -> None:
    Path("file").write_text("in the way")
    asked = (
        ("export", "file/out.csv"),
        ("export", "file/out.db"),
        ("export", "file/out", "--format", "tree"),
        ("archive", "--crawl", "spring", "--to", "file/s.jsonl"),
        ("review", "sheet", "file/sheet.html"),
        ("export", "spring", "--format", "csv"),  # a folder stands there
    )
    for arguments in asked:
        said = run(*arguments, exit_code=2).stderr
        assert "cannot be written" in said
        assert said.count("\n") == 1
    assert run("query", "--count").stdout == "3\n"


def test_a_failed_command_leaves_no_new_folder(session: Path) -> None:
    Path("there").mkdir()
    said = run("archive", "--crawl", "sprong", "--to", "new/deep/x.jsonl", exit_code=2).stderr
    assert "no crawl 'sprong'; the catalogue's crawls: spring\n" in said
    run("archive", "--crawl", "sprong", "--to", "there/x.jsonl", exit_code=2)
    assert not Path("new").exists()
    assert Path("there").is_dir()


def test_an_export_overwrites_a_file(session: Path) -> None:
    Path("out.csv").write_text("old")
    run("export", "out.csv")
    assert Path("out.csv").read_text().startswith("id,")


def test_pages_follow_each_other(session: Path) -> None:
    first = run("query", "--limit", "2", "--order-by", "-id")
    token = first.stderr.split("--after ")[1].strip()
    second = run("query", "--limit", "2", "--order-by", "-id", "--after", token)
    names = [Path(line["path"]).name for page in (first, second) for line in lines(page)]
    assert sorted(names) == ["0.png", "1.png", "2.png"]
    assert "next" not in second.stderr


def test_errors_have_messages(session: Path) -> None:
    assert "which rows" in run("relabel", "--model", "constant:shoes", exit_code=2).stderr
    assert "expected an order" in run("query", "--order-by", "path", exit_code=2).stderr
    assert "which --format" in run("export", "out.xyz", exit_code=2).stderr
    assert "one of --crawl" in run("forget", exit_code=2).stderr
    assert "expected the beginning" in run("models", "use", "zzz", exit_code=2).stderr
    assert "expected a revision" in run("db", "downgrade", "7", exit_code=2).stderr
    Path("sheet.csv").write_text("id,label,correct_label\n1,x,hats\n")
    wrong = run("review", "apply", "sheet.csv", exit_code=2)
    assert "nothing was applied" in wrong.stderr
    Path("sheet.csv").write_text("a,b\n1,2\n")
    assert 'expected columns "id"' in run("review", "apply", "sheet.csv", exit_code=2).stderr


def test_the_schema_goes_down_and_up(session: Path) -> None:
    run("db", "downgrade", "0001", "--yes")
    assert "db upgrade" in run("query", exit_code=4).stderr
    run("db", "upgrade")
    assert run("query", "--count").stdout == "3\n"
