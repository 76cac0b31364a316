"""Tests of reading a review sheet that a spreadsheet saved."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.errors import ExportError
from db.exports.review_table import read_review_table, write_review_table
from db.queries import Filter, rows
from tests.db.samples import labelled, put, rejected, sandals


def test_a_sheet_that_a_spreadsheet_saved(tmp_path: Path) -> None:
    file = tmp_path / "sheet.csv"
    text = " id ;label;correct_label;note\r\n7.0;shoes; OK ;größer\r\n;;;\r\n8;shoes\r\n"
    file.write_bytes(text.encode("cp1252"))
    (found,) = read_review_table(file, "cp1252")
    assert (found.id, found.label, found.note) == (7, "shoes", "größer")
    assert str(found) == f"{file}, line 2 (row 7)"


def test_a_written_sheet_has_the_two_best_leaves_and_is_read(
    store: Catalogue, tmp_path: Path
) -> None:
    unsure = sandals(gender=None, type=None, model_label="shoes", confidence=0.99)
    put(store, [labelled("/a", unsure), rejected("/b")])
    found = sorted(rows(store.engine, Filter()), key=lambda row: row.path)
    write_review_table(tmp_path / "sheet.csv", found)
    with (tmp_path / "sheet.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    leaves = {name: first[name] for name in first if "leaf" in name}
    assert leaves == {
        "best_leaf": "shoes/female/sandals",
        "best_leaf_confidence": "0.9",
        "second_leaf": "shoes/male/sandals",
        "second_leaf_confidence": "0.1",
    }
    assert "0.99" not in first.values()
    assert {second[name] for name in leaves} == {""}
    filled = (tmp_path / "sheet.csv").read_text().replace("0.1,,", "0.1,ok,")
    (tmp_path / "sheet.csv").write_text(filled)
    (read,) = read_review_table(tmp_path / "sheet.csv")
    assert (read.label, read.path) == ("shoes", "/a")


@pytest.mark.parametrize("number", ["²", "1" * 30, "x", ""])
def test_an_id_that_is_none(tmp_path: Path, number: str) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text(f"id,label,correct_label\n{number},shoes,ok\n", encoding="utf-8")
    with pytest.raises(ExportError, match="line 2: expected the id of a row"):
        read_review_table(file)
