"""Exports, read by independent programs; import, forget and archive."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from db import housekeeping, human_labels, queries
from db.catalogue import Catalogue
from db.check import check
from db.errors import ExportError, InvalidRecord, UnknownLabel
from db.exports import parquet
from db.exports.files import Layout
from db.exports.folders import export_tree
from db.exports.read_back import import_file
from db.exports.sqlite_file import export_sqlite
from db.exports.text import export_text, unfinished_text
from db.human_labels import Correction
from db.queries import Filter, count, rows
from db.records import LabelEntry, PendingRow, Row
from db.session import make_engine, reading
from tests.db.samples import (
    CRAWL,
    MODEL,
    NASTY_PATHS,
    OTHER_MODEL,
    SUNGLASSES,
    DiskFiles,
    labelled,
    put,
    rejected,
    sandals,
)

ROOT = Path(__file__).parents[3]
EVERYTHING = Filter()


@pytest.fixture
def filled(store: Catalogue) -> Catalogue:
    """The nasty paths with labels, one corrected; formulas; a rejected and a pending row."""
    known = [
        PendingRow(path, url="=HYPERLINK(1)", shop="-x", product_id="'q") for path in NASTY_PATHS
    ]
    store.add_pending(CRAWL, [*known, PendingRow("/waiting")], MODEL)
    outcomes = [labelled(path, sandals(confidence=1 / 3)) for path in NASTY_PATHS]
    outcomes += [labelled("@sum", SUNGLASSES), rejected("/bad")]
    put(store, outcomes)
    first = next(rows(store.engine, Filter(path=NASTY_PATHS[0])))
    human_labels.apply(store.engine, [Correction(first.id, "shoes/male/boots")], "mara")
    return store


def all_rows(store: Catalogue) -> list[Row]:
    return list(rows(store.engine, EVERYTHING))


def test_json_lines_equal_the_table(filled: Catalogue, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    done = export_text(filled.engine, EVERYTHING, target, "jsonl")
    found = [json.loads(line) for line in target.read_bytes().split(b"\n") if line]
    assert [line["path"] for line in found] == [row.path for row in all_rows(filled)]
    assert found[0]["confidence"] == all_rows(filled)[0].confidence
    assert {line["final_label"] for line in found} >= {"shoes/male/boots", None}
    assert done.rows == len(found)
    assert_checksum(target, done.sha256)
    assert sorted(p.name for p in tmp_path.iterdir() if "out" in p.name) == [
        "out.jsonl",
        "out.jsonl.sha256",
    ]


def assert_checksum(target: Path, expected: str) -> None:
    """Check with coreutils."""
    command = ["sha256sum", "--check", f"{target.name}.sha256"]
    subprocess.run(command, cwd=target.parent, check=True, capture_output=True)
    assert expected in Path(f"{target}.sha256").read_text()


def test_csv_has_no_formulas_and_duckdb_reads_it(filled: Catalogue, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    export_text(filled.engine, EVERYTHING, target, "csv")
    with target.open(newline="", encoding="utf-8") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    query = "SELECT path, confidence FROM read_csv(?, header=true, all_varchar=true, quote='\"')"
    found = duckdb.execute(query + " ORDER BY CAST(id AS BIGINT)", [str(target)]).fetchall()
    said = [row.confidence for row in all_rows(filled)]
    assert [None if c is None else float(c) for _, c in found] == said
    assert [p.removeprefix("'") for p, _ in found] == [row.path for row in all_rows(filled)]


def test_parquet_is_typed_and_equal(filled: Catalogue, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    parquet.export_parquet(filled.engine, EVERYTHING, target)
    names = "id, path, shop, confidence, needs_review, human_label"
    found = duckdb.execute(f"SELECT {names} FROM read_parquet(?)", [str(target)]).fetchall()
    assert found == [
        (r.id, r.path, r.shop, r.confidence, r.needs_review, r.human_label)
        for r in all_rows(filled)
    ]
    kinds = dict(
        duckdb.execute(
            "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet(?))",
            [str(target)],
        ).fetchall()
    )
    assert (kinds["id"], kinds["confidence"]) == ("BIGINT", "DOUBLE")
    assert (kinds["needs_review"], kinds["labelled_at"]) == ("BOOLEAN", "TIMESTAMP WITH TIME ZONE")
    times = duckdb.execute("SELECT epoch_us(labelled_at) FROM read_parquet(?)", [str(target)])
    assert [None if us is None else us for (us,) in times.fetchall()] == [
        None if r.labelled_at is None else round(r.labelled_at.timestamp() * 1e6)
        for r in all_rows(filled)
    ]
    frame = queries.table(filled.engine, Filter(category="glasses")).to_pandas()
    assert list(frame["path"]) == ["@sum"]
    assert queries.table(filled.engine, Filter(crawl="none")).num_rows == 0


def test_parquet_by_category(filled: Catalogue, tmp_path: Path) -> None:
    target = tmp_path / "parts"
    done = parquet.export_parquet_by_category(filled.engine, EVERYTHING, target)
    found = duckdb.execute(
        "SELECT final_category, count(*) FROM read_parquet(?, hive_partitioning=true) "
        "GROUP BY 1 ORDER BY 1",
        [f"{target}/*/*.parquet"],
    ).fetchall()
    assert found == [("glasses", 1), ("none", 2), ("shoes", 10)]
    assert done.rows == 13
    with pytest.raises(ExportError, match="exists"):
        parquet.export_parquet_by_category(filled.engine, EVERYTHING, target)


def test_sqlite_export(filled: Catalogue, tmp_path: Path) -> None:
    target = tmp_path / "out.db"
    export_sqlite(filled.engine, EVERYTHING, target)
    connection = sqlite3.connect(target)
    query = "SELECT path, label, final_label FROM catalogue ORDER BY id"
    found = connection.execute(query).fetchall()
    connection.close()
    counts = [(r.path, r.human_label or r.model_label) for r in all_rows(filled)]
    assert found == [(path, label, label) for path, label in counts]


def test_export_and_import_lose_nothing(filled: Catalogue, tmp_path: Path) -> None:
    original = [strip(row) for row in all_rows(filled)]
    for form in ("csv", "jsonl"):
        export_text(filled.engine, EVERYTHING, tmp_path / f"out.{form}", form)
        other = Catalogue.open(f"sqlite:///{tmp_path / form}.db")
        other.register_model(MODEL, [LabelEntry("shoes/male/boots", "shoes", "male", "boots")])
        first = import_file(other.engine, tmp_path / f"out.{form}")
        assert (first.added, first.present) == (13, 0)
        again = import_file(other.engine, tmp_path / f"out.{form}")
        assert (again.added, again.present) == (0, 13)
        assert sorted(map(str, original)) == sorted(str(strip(row)) for row in all_rows(other))
        assert check(other.engine) == []
        other.close()


def strip(row: Row) -> dict[str, Any]:
    """A row without its id, which differs between catalogues."""
    return {name: value for name, value in vars(row).items() if name != "id"}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('{"crawl": "c", "path": "/a"', ExportError, "line 1: expected JSON"),
        ('{"crawl": "c", "path": "/a", "status": "nice"}', ExportError, "line 1"),
        ("crawl,path,status\nc,/a,pending,more", ExportError, "line 2"),
        ("crawl,path,status\nc,,pending", ExportError, "line 2"),
        ("crawl,path,status,confidence\nc,/a,pending,7", ExportError, "line 2: confidence"),
        (
            "crawl,path,status,human_label\nc,/a,pending,shoes\n\nc,/b,pending,hats",
            UnknownLabel,
            "line 2: human_label.*'shoes'",
        ),
    ],
)
def test_import_of_an_invalid_file(
    catalogue: Catalogue, tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    source = tmp_path / "in"
    source.write_text(text)
    with pytest.raises(error, match=message):
        import_file(catalogue.engine, source)
    assert count(catalogue.engine, EVERYTHING) == 0


def test_tree_contains_the_existing_labelled_files(store: Catalogue, tmp_path: Path) -> None:
    picture = tmp_path / "a b\n.jpg"
    picture.write_bytes(b"picture")
    outcomes = [labelled(str(picture)), labelled("/gone.jpg"), rejected(str(tmp_path / "bad"))]
    put(store, outcomes)
    for kind in ("symlink", "hardlink", "copy"):
        done, gone = export_tree(
            store.engine,
            EVERYTHING,
            tmp_path / kind,
            link_type=kind,
            files=DiskFiles(),
        )
        (file,) = [path for path in (tmp_path / kind).rglob("*") if path.is_file()]
        assert file.read_bytes() == b"picture"
        assert file.parent == tmp_path / kind / "shoes" / "female" / "sandals"
        assert (done.rows, gone) == (1, 1)


EXPORTER = """
import os, signal, sys
from pathlib import Path
from db.exports import files, text
from db.filters import Filter
from db.session import make_engine
files.ROWS_PER_FETCH, text.ROWS_PER_CHECKPOINT = 10, 20
json_line, seen = text.json_line, 0
def counted(record):
    global seen
    seen += 1
    if seen == 75:
        os.kill(os.getpid(), signal.SIGKILL)
    return json_line(record)
text.json_line = counted
text.export_text(make_engine(sys.argv[1]), Filter(), Path(sys.argv[2]), "jsonl")
"""


def test_killed_export_is_resumed(store: Catalogue, catalogue_url: str, tmp_path: Path) -> None:
    store.add_pending(CRAWL, [PendingRow(f"/{n}") for n in range(100)], MODEL)
    target = tmp_path / "out.jsonl"
    arguments = [sys.executable, "-c", EXPORTER, catalogue_url, str(target)]
    assert subprocess.run(arguments, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert not target.exists()
    state = json.loads(Path(f"{target}.partial.json").read_text())
    assert 0 < state["rows"] < 75
    with pytest.raises(ExportError, match="unfinished, different export"):
        export_text(store.engine, Filter(status="pending"), target, "jsonl")
    done = export_text(store.engine, EVERYTHING, target, "jsonl")
    found = [json.loads(line)["path"] for line in target.read_text().splitlines()]
    assert found == [row.path for row in all_rows(store)]
    assert done.rows == 100


# deleting rows


def in_any_file(store: Catalogue, text: str) -> bool:
    """Whether any file of a SQLite catalogue contains the bytes of `text`."""
    file = Path(str(store.engine.url.database))
    return any(text.encode() in path.read_bytes() for path in file.parent.glob(f"{file.name}*"))


def test_forget_deletes_for_good_and_on_record(filled: Catalogue) -> None:
    secret = "/shop/take-me-down-please.jpg"
    for crawl in (CRAWL, "summer"):
        put(filled, [labelled(secret, content_hash="h")], crawl=crawl)
    assert housekeeping.forget(filled.engine, "path", secret, by="mara", note="17").rows == 2
    assert housekeeping.forget(filled.engine, "path", secret, by="mara").rows == 0
    assert housekeeping.forget(filled.engine, "hash", f"hash of {NASTY_PATHS[0]}", by="m").rows == 1
    assert count(filled.engine, EVERYTHING) == 12
    with reading(filled.engine) as connection:
        log = connection.execute(sa.text("SELECT kind, rows, note FROM forgotten ORDER BY id"))
        assert [tuple(row) for row in log] == [
            ("path", 2, "17"),
            ("path", 0, None),
            ("hash", 1, None),
        ]
    if filled.engine.dialect.name == "sqlite":
        assert not in_any_file(filled, secret)
        assert in_any_file(filled, "summer")
    assert housekeeping.forget(filled.engine, "crawl", CRAWL, by="mara").rows == 12
    assert check(filled.engine) == []


@pytest.mark.parametrize("catalogue_url", ["postgresql"], indirect=True)
def test_forget_vacuums_only_the_tables_that_lost_rows(filled: Catalogue) -> None:
    """A vacuum of a table of a hundred million rows for the sake of one takes minutes."""

    def vacuumed() -> dict[str, int]:
        with reading(filled.engine) as connection:
            query = "SELECT relname, vacuum_count FROM pg_stat_user_tables WHERE vacuum_count > 0"
            return {row[0]: row[1] for row in connection.execute(sa.text(query))}

    def forget(kind: str, value: str) -> set[str]:
        before = vacuumed()
        housekeeping.forget(filled.engine, kind, value, by="mara")
        return {name for name, number in vacuumed().items() if number > before.get(name, 0)}

    path = "/shop/twice.jpg"
    put(filled, [labelled(path)])
    assert forget("path", path) == {"catalogue"}
    assert forget("path", path) == set()
    put(filled, [labelled(path)])
    filled.add_pending(CRAWL, [PendingRow(path)], OTHER_MODEL)  # keeps the label in the history
    assert forget("path", path) == {"catalogue", "label_history"}
    counters = {"catalogue_counts", "catalogue_count_changes"}
    assert {"catalogue", "crawls"} | counters <= forget("crawl", CRAWL)
    assert forget("crawl", CRAWL) == set()


def test_forget_with_a_reader_says_what_is_left(
    filled: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader keeps the log (SQLite) or the dead rows (PostgreSQL) alive."""
    monkeypatch.setattr(housekeeping, "LOG_PATIENCE_SECONDS", 0)
    secret = "/shop/take-me-down-please.jpg"
    put(filled, [labelled(secret)])
    reader = make_engine(filled.engine.url.render_as_string(hide_password=False))
    with reader.connect() as connection:
        connection = (
            connection.execution_options(isolation_level="REPEATABLE READ")
            if (reader.dialect.name == "postgresql")
            else connection
        )
        connection.execute(sa.text("SELECT count(*) FROM catalogue"))
        done = housekeeping.forget(filled.engine, "path", secret, by="mara")
        assert done.rows == 1
        assert "deleted rows" in str(done.remains)
        if filled.engine.dialect.name == "sqlite":
            assert in_any_file(filled, secret)
            assert "deleted rows" in str(housekeeping.vacuum(filled.engine))
    reader.dispose()
    assert housekeeping.vacuum(filled.engine) is None
    assert housekeeping.forget(filled.engine, "path", secret, by="mara").remains is None
    if filled.engine.dialect.name == "sqlite":
        assert not in_any_file(filled, secret)


def test_archive_can_be_imported(filled: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="1 pending"):
        housekeeping.archive(filled.engine, CRAWL, tmp_path / "busy.jsonl")
    filled.store(CRAWL, "me", MODEL, [labelled("/waiting")])
    original = [strip(row) for row in all_rows(filled)]
    done = housekeeping.archive(filled.engine, CRAWL, tmp_path / "spring.jsonl")
    assert (done.rows, count(filled.engine, EVERYTHING)) == (13, 0)
    assert check(filled.engine) == []
    import_file(filled.engine, tmp_path / "spring.jsonl")
    assert sorted(map(str, original)) == sorted(str(strip(row)) for row in all_rows(filled))
    with pytest.raises(InvalidRecord, match="no crawl"):
        housekeeping.archive(filled.engine, "autumn", tmp_path / "x.jsonl")
    housekeeping.vacuum(filled.engine)
    assert check(filled.engine) == []


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "sqlite"])
def test_chosen_columns_in_their_order_and_rows_in_order_of_the_label(
    filled: Catalogue, tmp_path: Path, form: str
) -> None:
    target = tmp_path / f"o.{form}"
    layout = Layout(("label", "path", "confidence", "id"), "label")
    if form == "parquet":
        parquet.export_parquet(filled.engine, EVERYTHING, target, layout)
        query = "SELECT * FROM read_parquet(?)"
        found = duckdb.execute(query, [str(target)])
    elif form == "sqlite":
        export_sqlite(filled.engine, EVERYTHING, target, layout)
        with sqlite3.connect(target) as connection:
            names = [row[1] for row in connection.execute("PRAGMA table_info(catalogue)")]
        connection.close()
        assert names == list(layout.columns)
        return
    else:
        export_text(filled.engine, EVERYTHING, target, form, layout)
        kind = {"csv": "read_csv(?, all_varchar = true, nullstr = '')"}
        found = duckdb.execute(f"SELECT * FROM {kind.get(form, 'read_json(?)')}", [str(target)])
    assert [column[0] for column in found.description] == list(layout.columns)
    got = found.fetchall()
    expected = [row.label for row in all_rows(filled)]
    assert [row[0] for row in got] == [
        *sorted(filter(None, expected)),
        *[None] * expected.count(None),
    ]
    assert {int(row[3]) for row in got} == {row.id for row in all_rows(filled)}


def test_an_export_of_some_columns_is_resumed(filled: Catalogue, tmp_path: Path) -> None:
    target, layout = tmp_path / "o.csv", Layout(("path", "label"))
    with (
        pytest.raises(KeyboardInterrupt),
        unfinished_text(filled.engine, EVERYTHING, target, "csv", layout),
    ):
        raise KeyboardInterrupt
    before = (tmp_path / "o.csv.partial").read_bytes()
    with pytest.raises(ExportError, match="unfinished, different export"):
        export_text(filled.engine, EVERYTHING, target, "csv")
    put(filled, [labelled("/later")])
    done = export_text(filled.engine, EVERYTHING, target, "csv", layout)
    assert target.read_bytes() == before + b"/later,shoes/female/sandals\n"
    assert done.rows == len(all_rows(filled))


@pytest.mark.parametrize("names", [("path", "path"), ("no",), ()])
def test_columns_that_do_not_exist_or_are_there_twice(names: tuple[str, ...]) -> None:
    with pytest.raises(ExportError, match="expected different columns out of id, crawl"):
        Layout(names)
