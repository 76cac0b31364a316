"""Tests of `import`: files that a spreadsheet saved, and that nothing is half added."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from db.catalogue import Catalogue
from db.errors import ExportError
from db.exports.read_back import import_file
from db.exports.text import export_text
from db.queries import Filter, rows

PENDING = {"crawl": "c", "path": "/a", "status": "pending"}
LABELLED = {
    **{"crawl": "c", "status": "labelled", "model_version": "m", "label": "shoes"},
    **{"best_leaf": "shoes", "category": "shoes", "confidence": 0.5},
    "labelled_at": "2026-11-25T18:00:00Z",
}


def paths(catalogue: Catalogue) -> list[str]:
    return [row.path for row in rows(catalogue.engine, Filter())]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("array", [False, True])
def test_json_with_a_mark_blank_lines_or_as_an_array(
    catalogue: Catalogue, tmp_path: Path, encoding: str, array: bool
) -> None:
    records = [PENDING, PENDING | {"path": "/é"}]
    text = json.dumps(records) if array else "\n\n".join(map(json.dumps, records)) + "\n\n"
    (tmp_path / "in").write_bytes(text.encode(encoding))
    done = import_file(catalogue.engine, tmp_path / "in")
    assert (done.added, done.present) == (2, 0)
    assert sorted(paths(catalogue)) == ["/a", "/é"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"path": ["/b"]}, "path: expected one value, received a list"),
        ({"shop": {"a": 1}}, "shop: expected one value, received an object"),
        ({"path": None}, "expected path"),
        ({"status": "nice"}, "status: expected"),
        ({"status": "rejected"}, "expected reason"),
        ({"status": "labelled"}, "expected model_label"),
        ({"label": "shoes", "category": "shoes"}, "expected no label of the model"),
        ({"size": 2**70}, "size: expected a"),
        ({"size": 1e400}, "expected JSON: Infinity is no number"),
        ({"attempts": -1}, "attempts: expected 0 to"),
        ({"attempts": 40_000}, "attempts: expected 0 to"),
        ({"mtime": 10**400}, "mtime: expected a number"),
        ({"mtime": "x"}, "mtime: expected a number"),
        ({"confidence": 7}, "confidence: expected"),
        ({"needs_review": "perhaps"}, "needs_review: expected true or false"),
        ({"created_at": "03/04/2026"}, "created_at: expected a time"),
        ({"created_at": 5}, "created_at: expected a time"),
        ({"second_leaf_confidence": -1}, "second_leaf_confidence: expected"),
        ({"leaf_probabilities": "sandals"}, "leaf_probabilities: expected a JSON object"),
        ({"leaf_probabilities": "[0.5]"}, "leaf_probabilities: expected a JSON object"),
        ({"leaf_probabilities": '{"a": 2}'}, "leaf_probabilities: expected a JSON object"),
        ({"leaf_probabilities": '{"a": NaN}'}, "leaf_probabilities: expected a JSON object"),
        ({"leaf_probabilities": "[" * 99_999}, "leaf_probabilities: expected a JSON object"),
        ({"shop": "\ud800"}, "shop: expected text in UTF-8"),
        ({"shop": "a\0"}, "shop: expected text without NUL"),
    ],
)
def test_a_refused_line_is_named_and_nothing_is_added(
    catalogue: Catalogue, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    lines = [json.dumps(PENDING | {"path": f"/{n}"}) for n in range(2500)]
    file = tmp_path / "in.jsonl"
    file.write_text("\n".join([*lines, "", json.dumps(PENDING | changes), lines[0]]))
    with pytest.raises(ExportError, match=rf"in\.jsonl, line 2502: .*{says}"):
        import_file(catalogue.engine, file)
    assert not paths(catalogue)


@pytest.mark.parametrize("text", ["\n", "[]", "crawl,path,status\n", "\ufeff"])
def test_no_rows_in_a_file_that_is_not_empty(
    catalogue: Catalogue, tmp_path: Path, text: str
) -> None:
    (tmp_path / "in").write_text(text)
    with pytest.raises(ExportError, match="in: expected"):
        import_file(catalogue.engine, tmp_path / "in")
    (tmp_path / "empty").touch()
    assert import_file(catalogue.engine, tmp_path / "empty").added == 0


def test_an_imported_best_leaf_is_found(catalogue: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    record = LABELLED | {"path": "/a", "best_leaf": "shoes/female/clogs"}
    file.write_text(json.dumps(record | {"best_leaf_confidence": 0.4}))
    import_file(catalogue.engine, file)
    asked = Filter(best_leaf="*/clogs", min_best_leaf_confidence=0.4)
    assert [row.path for row in rows(catalogue.engine, asked)] == ["/a"]


def test_an_export_that_a_spreadsheet_saved(catalogue: Catalogue, tmp_path: Path) -> None:
    source, saved = tmp_path / "in.jsonl", tmp_path / "saved.csv"
    records = [LABELLED | {"path": f"/{n}", "needs_review": n == 1} for n in range(3)]
    source.write_text("\n".join(map(json.dumps, records)))
    import_file(catalogue.engine, source)
    export_text(catalogue.engine, Filter(), tmp_path / "out.csv", "csv")
    wanted = [vars(row) for row in rows(catalogue.engine, Filter())]
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    for cells in table:
        cells["needs_review"] = {"true": "WAHR", "false": "FALSE"}[cells["needs_review"]]
        cells["confidence"] = cells["confidence"].replace(".", ",")
        cells["labelled_at"] = "25.11.2026 18:00"
    with saved.open("w", newline="", encoding="cp1252") as file:
        writer = csv.DictWriter(file, list(table[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(table)
        file.write(";" * (len(table[0]) - 1) + "\r\n")
    other = Catalogue.open(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        assert import_file(other.engine, saved, "cp1252").added == 3
        found = [vars(row) for row in rows(other.engine, Filter())]
    finally:
        other.close()
    assert [{**row, "id": 0} for row in found] == [{**row, "id": 0} for row in wanted]
