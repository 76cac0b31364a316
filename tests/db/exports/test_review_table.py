"""Tests of reading a review sheet that a spreadsheet saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.errors import ExportError
from db.exports.review_table import read_review_table


def test_a_sheet_that_a_spreadsheet_saved(tmp_path: Path) -> None:
    file = tmp_path / "sheet.csv"
    text = " id ;label;correct_label;note\r\n7.0;shoes; OK ;größer\r\n;;;\r\n8;shoes\r\n"
    file.write_bytes(text.encode("cp1252"))
    (found,) = read_review_table(file, "cp1252")
    assert (found.id, found.label, found.note) == (7, "shoes", "größer")
    assert str(found) == f"{file}, line 2 (row 7)"


@pytest.mark.parametrize("number", ["²", "1" * 30, "x", ""])
def test_an_id_that_is_none(tmp_path: Path, number: str) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text(f"id,label,correct_label\n{number},shoes,ok\n", encoding="utf-8")
    with pytest.raises(ExportError, match="line 2: expected the id of a row"):
        read_review_table(file)
