"""The commands `query` and `stats`."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import openpyxl
import pytest

from db import human_labels
from db.catalogue import Catalogue
from db.exports.files import COLUMNS
from db.human_labels import Correction
from db.queries import Filter, rows
from db.records import Outcome, PendingRow
from tests.commands.running import lines, run
from tests.db.samples import CRAWL, MODEL, SUNGLASSES, labelled, put, register, rejected, sandals


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A catalogue with two sandals, one pair of sunglasses, a rejected and a pending picture."""
    url = f"sqlite:///{tmp_path / 'c.db'}"
    store = register(Catalogue.open(url))
    store.add_pending(CRAWL, [PendingRow("/waiting.jpg")], MODEL)
    outcomes = [
        labelled("/a.jpg"),
        labelled("=1+1.jpg", sandals(confidence=0.5, needs_review=True)),
        labelled("/sun\n.jpg", SUNGLASSES),
        rejected("/bad.jpg", "truncated"),
    ]
    put(store, outcomes)
    store.close()
    return url


def paths(url: str, *options: str) -> set[str]:
    return {line["path"] for line in lines(run("query", "--catalogue", url, *options))}


def test_filters_compose(url: str) -> None:
    assert paths(url, "--label", "shoes/female/*") == {"/a.jpg", "=1+1.jpg"}
    assert paths(url, "--label", "shoes-Female-sandals", "--min-confidence", "0.9") == {"/a.jpg"}
    assert paths(url, "--category", "glasses") == {"/sun\n.jpg"}
    assert paths(url, "--needs-review") == {"=1+1.jpg", "/sun\n.jpg"}
    assert paths(url, "--status", "rejected", "--reason", "truncated") == {"/bad.jpg"}
    assert paths(url, "--status", "pending") == {"/waiting.jpg"}
    assert paths(url, "--label", "no/such/label") == set()
    assert len(paths(url)) == 5
    assert len(paths(url, "--limit", "2")) == 2


@pytest.fixture
def stopped(tmp_path: Path) -> str:
    """Sandals by their best leaf: one label is the leaf, others stop above or are a person's."""
    url = f"sqlite:///{tmp_path / 'stopped.db'}"
    store = register(Catalogue.open(url))
    unsure = {"gender": None, "type": None, "model_label": "shoes", "confidence": 0.99}
    put(
        store,
        [
            labelled("/leaf.jpg"),
            labelled("/sure.jpg", sandals(**unsure, best_leaf_confidence=0.92)),
            labelled("/unsure.jpg", sandals(**unsure, best_leaf_confidence=0.4)),
            labelled("/boots.jpg", sandals(**unsure, best_leaf_confidence=0.95)),
            labelled("/before.jpg", sandals(**unsure, best_leaf_confidence=None)),  # type: 0.9
            labelled("/person.jpg", sandals(**unsure, best_leaf_confidence=0.95)),
            labelled("/female.jpg", sandals(type=None, model_label="shoes/female")),
        ],
    )
    for path, label in (("/boots.jpg", "shoes/male/boots"), ("/person.jpg", "shoes")):
        (row,) = rows(store.engine, Filter(path=path))
        human_labels.apply(store.engine, [Correction(row.id, label)], "mara")
    store.close()
    return url


def test_the_best_leaf_is_found_where_the_label_stops_earlier(stopped: str) -> None:
    every = {"/leaf.jpg", "/sure.jpg", "/unsure.jpg", "/boots.jpg", "/before.jpg", "/female.jpg"}
    every |= {"/person.jpg"}
    assert paths(stopped, "--label", "shoes/female/sandals") == {"/leaf.jpg"}
    assert paths(stopped, "--best-leaf", "shoes-female-sandals") == every
    assert paths(stopped, "--best-leaf", "glasses/*") == set()
    sure = ("--best-leaf", "*/sandals", "--best-leaf-confidence", "0.9")
    assert paths(stopped, *sure) == every - {"/unsure.jpg"}
    assert paths(stopped, *sure, "--not-corrected", "--label", "shoes") == {
        "/sure.jpg",
        "/before.jpg",
    }
    assert paths(stopped, "--max-best-leaf-confidence", "0.5") == {"/unsure.jpg"}
    assert paths(stopped, "--best-leaf-confidence", "0.94") == {"/boots.jpg", "/person.jpg"}
    wrong = run("query", "--catalogue", stopped, "--best-leaf", "sandal")
    assert "no registered label fits --best-leaf 'sandal'" in wrong.stderr


@pytest.mark.parametrize("command", ["query", "stats", "export", "review sheet"])
def test_a_label_that_leaves_stopped_pictures_out_says_how_to_find_them(
    stopped: str, tmp_path: Path, command: str
) -> None:
    target = {"export": [str(tmp_path / "o.csv")], "review sheet": [str(tmp_path / "o.html")]}
    asked = [*command.split(), *target.get(command, []), "--catalogue", stopped]
    said = run(*asked, "--label", "shoes/female/sandals", "--min-confidence", "0.9").stderr
    hint = (
        "2 more stopped at shoes, 1 at shoes/female: "
        "--best-leaf shoes/female/sandals --best-leaf-confidence 0.9\n"
    )
    assert hint in said


def test_no_hint_where_nothing_is_left_out(stopped: str, url: str) -> None:
    for asked in (
        ("--label", "shoes*"),
        ("--label", "shoes/*", "--best-leaf", "*/sandals"),
        ("--label", "shoes/male/boots"),
        ("--category", "shoes"),
    ):
        assert "stopped" not in run("query", "--catalogue", stopped, *asked).stderr
    assert "stopped" not in run("query", "--catalogue", url, "--label", "shoes/female/*").stderr
    quoted = run("query", "--catalogue", stopped, "--label", "shoes/female/s*").stderr
    assert "--best-leaf 'shoes/female/s*'\n" in quoted


@pytest.mark.parametrize(
    "day",
    ["yesterday", "1.1.2020", "2020/01/01", "20200101", "1 Jan 2020", "2020-01-01T02:00+02:00"],
)
def test_days_in_common_ways(url: str, day: str) -> None:
    assert len(paths(url, "--labelled-after", day)) == 3
    assert paths(url, "--labelled-before", day) == set()


@pytest.mark.parametrize(
    ("day", "right"),
    [
        ("03/04/2026", "received '03/04/2026': write 2026-04-03 or 2026-03-04"),
        ("25-11-2026", "received '25-11-2026': write 2026-11-25"),
        ("11/25/2026", "received '11/25/2026': write 2026-11-25"),
        ("40/40/2026", "such as 2026-11-25T14:30, received '40/40/2026'"),
        ("soon", "such as 2026-11-25T14:30, received 'soon'"),
    ],
)
def test_another_day_is_refused_with_the_right_one(url: str, day: str, right: str) -> None:
    said = run("query", "--catalogue", url, "--labelled-after", day, exit_code=2).stderr
    assert right in " ".join(said.split())


def test_rows_in_order_of_their_label(url: str) -> None:
    asked = ("query", "--catalogue", url, "--order-by", "label", "--columns", "label")
    found = [line["label"] for line in lines(run(*asked))]
    assert found == ["glasses/sunglasses", *["shoes/female/sandals"] * 2]
    said = run(*asked, "--limit", "1").stderr
    token = said.partition("--after ")[2].split()[0]
    assert [line["label"] for line in lines(run(*asked, "--after", token))] == found[1:]


def test_json_lines_contain_the_default_columns(url: str) -> None:
    (line,) = lines(run("query", "--catalogue", url, "--category", "glasses"))
    assert line == {
        "path": "/sun\n.jpg",
        "status": "labelled",
        "label": "glasses/sunglasses",
        "human_label": None,
        "confidence": 0.6,
        "best_leaf": "glasses/sunglasses",
        "reason": None,
        "detail": None,
        "model_version": MODEL,
    }


def test_csv_cells_are_not_formulas(url: str) -> None:
    result = run("query", "--catalogue", url, "--format", "csv", "--columns", "path,needs_review")
    rows = list(csv.reader(io.StringIO(result.stdout)))
    assert rows[0] == ["path", "needs_review"]
    assert ["'=1+1.jpg", "true"] in rows
    assert ["/sun\n.jpg", "true"] in rows


@pytest.mark.parametrize("limit", [(), ("--limit", "2")])
def test_parquet_has_the_types_of_an_export(
    url: str, tmp_path: Path, limit: tuple[str, ...]
) -> None:
    """DuckDB reads it from a file, and from a pipe, which cannot seek."""
    names = "path,label,confidence,needs_review,labelled_at"
    asked = ["query", "--catalogue", url, "--status", "labelled", "--columns", names, *limit]
    said = run(*asked, "--output", str(tmp_path / "new" / "out.parquet"))
    assert said.stdout == ""
    piped = subprocess.run(
        [sys.executable, "-m", "cli", *asked, "--format", "parquet"],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        check=True,
    )
    (tmp_path / "piped.parquet").write_bytes(piped.stdout)
    run("export", str(tmp_path / "whole.parquet"), "--catalogue", url)
    kinds = dict(described(tmp_path / "whole.parquet"))
    expected = [(r["path"], r["label"], r["confidence"]) for r in lines(run(*asked))]
    for made in (tmp_path / "new" / "out.parquet", tmp_path / "piped.parquet"):
        assert described(made) == [(name, kinds[name]) for name in names.split(",")]
        query = "SELECT path, label, confidence FROM read_parquet(?)"
        assert duckdb.execute(query, [str(made)]).fetchall() == expected
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["out.parquet"]


def described(file: Path) -> list[tuple[str, str]]:
    """The columns of a Parquet file with their types, as DuckDB sees them."""
    query = "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet(?))"
    return duckdb.execute(query, [str(file)]).fetchall()


def test_the_format_of_an_output_file_follows_its_suffix(url: str, tmp_path: Path) -> None:
    for name in ("out.csv", "out.jsonl", "none.parquet"):
        label = "no/such" if name.startswith("none") else "shoes/*"
        run("query", "--catalogue", url, "--label", label, "--output", str(tmp_path / name))
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "out.csv").read_text().startswith("path,status,label,")
    assert [name for name, _ in described(tmp_path / "none.parquet")][:2] == ["path", "status"]
    wrong = run("query", "--catalogue", url, "--output", str(tmp_path / "out.xyz"), exit_code=2)
    assert "which --format" in wrong.stderr


def test_a_table_has_one_line_per_row(url: str) -> None:
    result = run("query", "--catalogue", url, "--format", "table", "--category", "glasses")
    head, _, row = result.stdout.splitlines()
    assert head.split()[:3] == ["path", "status", "label"]
    assert row.startswith("/sun\\n.jpg")


def test_wide_columns_come_last_in_a_table(url: str) -> None:
    store = Catalogue.open(url)
    long = "/crawl/" + "x" * 80
    put(store, [labelled(long)])
    store.close()
    columns = ("--columns", "path,status,shop,label")
    table = run("query", "--catalogue", url, "--format", "table", "--category", "shoes", *columns)
    head, _, *rows = table.stdout.splitlines()
    assert head.split() == ["status", "shop", "label", "path"]
    start = head.index("path")
    assert {row[start:] for row in rows} == {"/a.jpg", "=1+1.jpg", long}


def test_count_prints_a_number(url: str) -> None:
    assert run("query", "--catalogue", url, "--count", "--category", "shoes").stdout == "2\n"


def test_the_tree_of_stats_adds_up(url: str) -> None:
    out = run("stats", "--catalogue", url, "--format", "table").stdout.splitlines()
    assert [line.split()[:2] for line in out] == [
        ["labelled", "3"],
        ["glasses", "1"],
        ["sunglasses", "1"],
        ["shoes", "2"],
        ["female", "2"],
        ["sandals", "2"],
        ["pending", "1"],
        ["rejected", "1"],
        ["truncated", "1"],
    ]
    assert out[3].split()[2] == "0.700"  # (0.9 + 0.5) / 2
    counts = lines(run("stats", "--catalogue", url))
    assert sum(count["rows"] for count in counts) == 5


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (("query",), ""),
        (("query", "--count"), "0\n"),
        (("query", "--limit", "3"), ""),
        (("stats", "--format", "table"), "no picture fits\n"),
        (("stats", "--format", "jsonl"), ""),
        (("status", "--no-queue", "--format", "jsonl"), '{"crawls": [], "queue": null}\n'),
    ],
)
def test_a_read_of_an_unknown_crawl_is_empty_and_says_so(
    url: str, asked: tuple[str, ...], answer: str
) -> None:
    said = run(*asked, "--catalogue", url, "--crawl", "nope")
    assert f"no crawl 'nope'; the catalogue's crawls: {CRAWL}\n" in said.stderr
    assert said.stdout == answer


@pytest.mark.parametrize("asked", [("relabel", "--model", "constant:glasses/optical"), ("cancel",)])
def test_work_on_an_unknown_crawl_is_refused(url: str, asked: tuple[str, ...]) -> None:
    said = run(*asked, "--catalogue", url, "--crawl", "nope", exit_code=2)
    assert f"no crawl 'nope'; the catalogue's crawls: {CRAWL}\n" in said.stderr
    assert said.stdout == ""


def test_stats_without_a_match(url: str) -> None:
    none = run(
        "stats", "--catalogue", url, "--crawl", CRAWL, "--shop", "x", "--format", "table"
    ).stdout
    assert none == "no picture fits\n"


@pytest.mark.parametrize(
    "asked",
    [
        ("nope",),
        ("--nope",),
        ("query", "--nope"),
        ("query", "--limit", "x"),
        ("train", "--out", "x"),
    ],
)
def test_usage_errors_have_the_form_of_other_errors(asked: tuple[str, ...]) -> None:
    said = run(*asked, exit_code=2).stderr.splitlines()
    assert said[0].startswith("fashion-cascade: ")
    assert said[1].startswith("see: ")
    assert said[1].endswith(" --help")
    assert len(said) == 2


def test_an_unknown_label_gives_a_warning(url: str) -> None:
    for name in ("query", "stats"):
        typed = run(name, "--catalogue", url, "--label", "shoes/femal/*")
        assert "no registered label fits --label 'shoes/femal/*'" in typed.stderr
        hats = run(name, "--catalogue", url, "--category", "hats")
        assert "--category 'hats'" in hats.stderr
        assert typed.stdout == hats.stdout == ""
        assert run(name, "--catalogue", url, "--category", "shoes").stderr == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("rows", [5, 5000])
def test_a_closed_pipe_ends_with_141_and_no_message(url: str, rows: int, unbuffered: str) -> None:
    """With output that is written while the command runs, and with output that is buffered."""
    store = Catalogue.open(url)
    store.add_pending(CRAWL, [PendingRow(f"/more/{n}.jpg") for n in range(rows - 5)], MODEL)
    store.close()
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "cli", "query", "--catalogue", url],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr.decode()) == (141, "")


def test_errors_have_advice_and_exit_codes(tmp_path: Path, url: str) -> None:
    missing = run("query", "--catalogue", f"sqlite:///{url[10:]}/c.db", exit_code=4)
    assert "no catalogue" in missing.stderr
    empty = run("stats", "--catalogue", f"sqlite:///{tmp_path}/new.db", exit_code=4)
    assert "label a folder" in empty.stderr
    wrong = run("query", "--catalogue", "mysql://h/d", exit_code=2)
    assert "expected a catalogue URL" in wrong.stderr
    assert "--columns" in run("query", "--catalogue", url, "--columns", "x", exit_code=2).stderr
    assert missing.stdout == empty.stdout == wrong.stdout == ""


def test_words_of_a_rejection_are_shown_by_query_and_stats(url: str) -> None:
    store = Catalogue.open(url)
    words = "OSError: image file is truncated\n(3 bytes)"
    outcome = Outcome("/cut.jpg", "rejected", 9, 1.0, "h", "not_an_image", detail=words)
    put(store, [outcome])
    store.close()
    (line,) = lines(run("query", "--catalogue", url, "--reason", "not_an_image"))
    assert (line["reason"], line["detail"]) == ("not_an_image", words)
    out = run("stats", "--catalogue", url, "--format", "table").stdout.splitlines()
    shown = r"not_an_image, for example: OSError: image file is truncated\n(3 bytes)"
    assert [line for line in out if "for example" in line] == [shown]


def test_an_export_has_the_columns_that_suit_its_reader(url: str, tmp_path: Path) -> None:
    def header(name: str, *options: str) -> list[str]:
        target = tmp_path / name
        run("export", str(target), "--catalogue", url, *options)
        if target.suffix == ".xlsx":
            sheet = openpyxl.load_workbook(target)["catalogue"]
            return [cell.value for cell in next(sheet.iter_rows())]
        return target.read_text().splitlines()[0].split(",")

    assert header("machine.csv") == list(COLUMNS)  # by name: a new column is no fault
    assert header("person.xlsx")[:4] == ["path", "shop", "status", "label"]
    assert header("all.xlsx", "--all-columns") == header("machine.csv")
    assert header("main.csv", "--columns", "main") == header("person.xlsx")
    assert header("two.csv", "--columns", "label, path", "--order-by", "label") == ["label", "path"]
    bad = ["export", str(tmp_path / "bad.csv"), "--catalogue", url]
    assert "received 'no'" in run(*bad, "--columns", "no", exit_code=2).stderr
    assert "received both" in run(*bad, "--columns", "id", "--all-columns", exit_code=2).stderr
    tree = (*bad[:1], str(tmp_path / "t"), *bad[2:], "--format", "tree", "--order-by", "label")
    assert "are for tables" in run(*tree, exit_code=2).stderr
    assert "0 rows" not in run("export", "-", "--format", "xlsx", "--catalogue", url).stderr
