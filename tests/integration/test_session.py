"""The session of docs/tutorial.md on drawings: label, query, review, relabel, go back, export.

Every command runs as it is typed, on each database. Plain SQL and programs that share no code with
this project read the results.
"""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cascade.data.dataset import read_labelled_folder
from cascade.taxonomy import Taxonomy
from tests.commands.running import lines, run

REVIEWED = 12


@pytest.fixture
def url(catalogue_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a catalogue that does not exist yet; the settings name it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_CASCADE_CATALOGUE_URL", catalogue_url)
    return catalogue_url


def sql(url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, without this project's code."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(parsed)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(sa.text(query))]
    engine.dispose()
    return found


def truth(path: str) -> str:
    """The correct label of a picture: its folder."""
    return Path(path).parent.relative_to(Path("crawl").resolve()).as_posix()


def fill_in(sheet: Path) -> dict[str, str]:
    """Fill in a review sheet with the correct labels; returns them by path."""
    with sheet.open(newline="") as file:
        table = list(csv.DictReader(file))
    said = {line["path"]: truth(line["path"]) for line in table}
    for line in table:
        right = said[line["path"]]
        line["correct_label"] = "ok" if right == line["label"] else right
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return said


def test_from_pictures_to_files_that_others_read(url: str, small_bundle: Path) -> None:
    run("sample-crawl", "crawl", "--per-leaf", "3", "--labelled-folders")
    Path("crawl/glasses/optical/page.jpg").write_bytes(b"<html>")
    printed = lines(run("label", "crawl", "--model", str(small_bundle), exit_code=1))
    count = "SELECT status, count(*) FROM catalogue GROUP BY status ORDER BY status"
    assert sql(url, count) == [("labelled", 54), ("rejected", 1)]
    assert len(printed) == 55
    by_sql = sql(url, "SELECT path FROM catalogue WHERE category = 'shoes' ORDER BY id")
    asked = lines(run("query", "--category", "shoes", "--columns", "path"))
    assert [(line["path"],) for line in asked] == by_sql

    said = review(url)
    relabel_and_back(url, small_bundle)
    after = dict(sql(url, "SELECT path, human_label FROM catalogue"))
    assert {path: label for path, label in after.items() if label} == said
    exported(url)


def review(url: str) -> dict[str, str]:
    """Review the pictures with the lowest confidence; returns the labels given by path."""
    run("review", "sheet", "doubtful.html", "--limit", str(REVIEWED), "--order-by", "margin")
    assert Path("doubtful.html").read_text().count("data:image/jpeg;base64,") == REVIEWED
    said = fill_in(Path("doubtful.csv"))
    done = run("review", "apply", "doubtful.csv", "--by", "mara").stdout
    assert done == f"{REVIEWED} rows corrected or confirmed, 0 unchanged\n"
    (whole, *_) = lines(run("review", "stats"))
    model = sql(url, "SELECT model_label, human_label FROM catalogue WHERE human_label IS NOT NULL")
    right = sum(f"{human}/".startswith(f"{label}/") for label, human in model)
    assert (whole["rows"], whole["right"]) == (REVIEWED, right)
    return said


def relabel_and_back(url: str, small_bundle: Path) -> None:
    """Compare a bundle with longer labels, switch to it, and switch back."""
    query = "SELECT path, label, best_leaf, confidence FROM catalogue ORDER BY id"
    before = sql(url, query)
    bolder = ("tune-thresholds", "crawl", "--model", str(small_bundle), "--precision", "0.5")
    run(*bolder, "--out", "bolder")
    flows = lines(run("relabel", "--model", "bolder", "--needs-review", "--diff"))
    assert sql(url, query) == before
    doubted = "SELECT count(*) FROM catalogue WHERE needs_review AND human_label IS NULL"
    assert [(sum(flow["rows"] for flow in flows),)] == sql(url, doubted)
    assert len(flows) > 1
    assert "54 rows are labelled" in run("relabel", "--model", "bolder", "--all").stderr
    (old, new) = lines(run("models", "list"))
    assert (old["in_use"], old["rows"], new["in_use"], new["rows"]) == (False, 0, True, 54)
    compare(url, old["version"], new["version"])
    bolder_said = sql(url, query)
    assert bolder_said != before
    run("models", "use", old["version"])
    assert sql(url, query) == before
    kept = f"SELECT count(*) FROM label_history WHERE model_version = '{new['version']}'"
    assert sql(url, kept) == [(54,)]
    run("models", "use", new["version"])
    assert sql(url, query) == bolder_said
    run("db", "check")


def compare(url: str, *versions: str) -> None:
    """Compare both models with the corrections: one from the history, one from the rows."""
    figures = {line["figure"]: line for line in lines(run("models", "compare", *versions))}
    for side, table in (("first", "label_history"), ("second", "catalogue")):
        joined = "JOIN catalogue c ON c.id = t.catalogue_id" if side == "first" else ""
        human = "c.human_label" if side == "first" else "t.human_label"
        said = sql(
            url, f"SELECT t.model_label, {human} FROM {table} t {joined} WHERE {human} IS NOT NULL"
        )
        assert figures["corrections.rows"][side] == len(said) == REVIEWED
        exact = sum(label == person for label, person in said)
        assert figures["corrections.exact"][side] == exact
    assert figures["rows"]["first"] == 0


def exported(url: str) -> None:
    """Each export holds the table when other programs read it."""
    for name in ("out.csv", "out.jsonl", "out.parquet", "out.db"):
        assert "54 rows, sha256" in run("export", name, "--status", "labelled").stdout
    query = (
        "SELECT id, path, coalesce(human_label, model_label), confidence FROM catalogue "
        "WHERE status = 'labelled' ORDER BY id"
    )
    expected = sql(url, query)
    columns = "id, path, label, confidence"
    snapshot = sqlite3.connect("out.db")
    assert snapshot.execute(f"SELECT {columns} FROM catalogue ORDER BY id").fetchall() == expected
    snapshot.close()
    for name in ("out.parquet", "out.csv"):
        found = duckdb.execute(f"SELECT {columns} FROM '{name}' ORDER BY id").fetchall()
        assert found == expected
    with Path("out.jsonl").open() as file:
        read = [json.loads(line) for line in file]
    assert [tuple(line[name] for name in columns.split(", ")) for line in read] == expected
    run("export", "corrected", "--format", "tree", "--corrected")
    links = [path for path in Path("corrected").rglob("*") if path.is_symlink()]
    placed = {link.resolve(): link.parent for link in links}
    assert len(placed) == REVIEWED
    ready_for_training = read_labelled_folder("corrected", Taxonomy.load())
    assert len(ready_for_training) == REVIEWED
    for picture, folder in placed.items():
        assert folder.relative_to("corrected").as_posix() == truth(str(picture))
