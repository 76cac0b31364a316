"""Injection: unusual and hostile texts through every filter and into every export.

Nothing is executed, and a text finds exactly the rows that contain it.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from db.catalogue import Catalogue
from db.exports import parquet
from db.exports.sqlite_file import export_sqlite
from db.exports.text import export_text
from db.exports.text_encoding import from_cell
from db.filters import Filter
from db.queries import count, page, rows
from db.records import LabelEntry
from db.session import writing
from db.summaries import stats
from db.tables import catalogue as table
from db.tables import crawls, path_key
from tests.db.samples import MODEL

LONG = "x" * 4096
TEXTS = [
    "plain",
    "PLAIN",
    "it's",
    '"quoted"',
    "a;b--",
    "'; DROP TABLE catalogue; --",
    "' OR '1'='1",
    "100%",
    "100x",
    "a_c",
    "abc",
    "[a-z]",
    "b",
    "what?",
    "back\\slash",
    "line\nfeed",
    "carriage\r\nreturn",
    "tab\t",
    "\u202efdp.exe",
    "\u200f\u2067mixed",
    "naïve-鞋-👠",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@sum",
    "'quoted",
    "{jn}",
    ":name",
    "%(name)s",
    "$1",
    " ",
    LONG,
    LONG[:-1] + "y",
]
NEVER = ["plain\0", "\0", "\udce9", "no such text", "", LONG + "x"]
FREE = ("path", "url", "shop", "product_id", "content_hash", "crawl", "model_version", "reason")
PATTERNS = ("path", "url", "product_id")


@pytest.fixture
def filled(catalogue: Catalogue) -> Iterator[dict[int, str]]:
    """One row per text, with the text in each text column; returns the texts by row id."""
    entries = [LabelEntry(f"{n}{text}", f"c{text}", f"g{text}", f"t{text}") for n, text in LABELS]
    catalogue.register_model(MODEL, entries)
    now = sa.func.current_timestamp()
    with writing(catalogue.engine) as connection:
        for number, text in LABELS:
            connection.execute(sa.insert(crawls).values(name=text, created_at=now))
            values = dict.fromkeys(FREE, text) | {
                "id": number + 1,
                "path_key": path_key(text),
                "status": "labelled",
                "model_label": f"{number}{text}",
                "best_leaf": f"{number}{text}",
                "category": f"c{text}",
                "confidence": 0.5,
                "labelled_at": now,
                "created_at": now,
                "updated_at": now,
            }
            connection.execute(sa.insert(table).values(**values))
    yield {number + 1: text for number, text in LABELS}


LABELS = list(enumerate(TEXTS))


def found(store: Catalogue, wanted: Filter) -> list[int]:
    ids = [row.id for row in rows(store.engine, wanted)]
    assert count(store.engine, wanted) == len(ids)
    assert [row.id for row in page(store.engine, wanted, limit=100).rows] == ids
    assert sum(c.rows for c in stats(store.engine, wanted)) == len(ids)
    return ids


@pytest.mark.parametrize("name", FREE)
def test_text_finds_only_its_row(catalogue: Catalogue, filled: dict[int, str], name: str) -> None:
    for number, text in filled.items():
        assert found(catalogue, Filter(**{name: text})) == [number], (name, text)
    for text in NEVER:
        assert found(catalogue, Filter(**{name: text})) == [], (name, text)
    assert count(catalogue.engine, Filter()) == len(TEXTS)


@pytest.mark.parametrize("name", PATTERNS)
def test_only_the_star_is_special_in_patterns(
    catalogue: Catalogue, filled: dict[int, str], name: str
) -> None:
    for text in TEXTS:
        for pattern, fits in (
            (f"{text}*", lambda other, text=text: other.startswith(text)),
            (f"*{text}", lambda other, text=text: other.endswith(text)),
        ):
            expected = [number for number, other in filled.items() if fits(other)]
            assert found(catalogue, Filter(**{name: pattern})) == expected, pattern
    for text in NEVER:
        expected = [] if text else sorted(filled)
        assert found(catalogue, Filter(**{name: f"{text}*"})) == expected, text


@pytest.mark.parametrize(("name", "before"), [("category", "c"), ("gender", "g"), ("type", "t")])
def test_levels_are_compared_literally(
    catalogue: Catalogue, filled: dict[int, str], name: str, before: str
) -> None:
    for number, text in filled.items():
        alike = [n for n, other in filled.items() if other.casefold() == text.casefold()]
        assert found(catalogue, Filter(**{name: before + text})) == alike, (number, text)
        assert found(catalogue, Filter(label=f"{number - 1}{text}")) == [number]


def test_every_export_contains_every_text(
    catalogue: Catalogue, filled: dict[int, str], tmp_path: Path
) -> None:
    """Read by independent programs."""
    expected = [filled[number] for number in sorted(filled)]
    csv_file, lines = tmp_path / "o.csv", tmp_path / "o.jsonl"
    export_text(catalogue.engine, Filter(), csv_file, "csv")
    export_text(catalogue.engine, Filter(), lines, "jsonl")
    parquet.export_parquet(catalogue.engine, Filter(), tmp_path / "o.parquet")
    export_sqlite(catalogue.engine, Filter(), tmp_path / "o.db")

    with csv_file.open(newline="", encoding="utf-8") as file:
        cells = [line["path"] for line in csv.DictReader(file)]
    assert [from_cell(cell) for cell in cells] == expected
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r\n"]
    read = [json.loads(line)["shop"] for line in lines.read_bytes().split(b"\n") if line]
    assert read == expected
    for name in ("path", "shop", "url"):
        query = f"SELECT {name} FROM read_parquet(?) ORDER BY id"
        assert column(duckdb.execute(query, [str(tmp_path / "o.parquet")])) == expected
    connection = sqlite3.connect(tmp_path / "o.db")
    assert column(connection.execute("SELECT path FROM catalogue ORDER BY id")) == expected
    connection.close()


def column(cursor: Any) -> list[str]:
    return [row[0] for row in cursor.fetchall()]


@pytest.mark.parametrize(
    "name", ["it's; rm -rf ~", "100%_", "line\nfeed", "back\\slash", "\u202egpj", "-n", "$(x)"]
)
def test_export_file_may_have_any_name(
    catalogue: Catalogue, filled: dict[int, str], tmp_path: Path, name: str
) -> None:
    target = tmp_path / f"{name}.csv"
    done = export_text(catalogue.engine, Filter(), target, "csv")
    assert done.rows == len(TEXTS)
    assert sorted(p.name for p in tmp_path.glob("*.csv*")) == sorted(
        [target.name, f"{target.name}.sha256"]
    )
    command = ["sha256sum", "--check", "--strict", f"./{target.name}.sha256"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
