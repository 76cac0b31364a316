"""Excel workbooks, read by openpyxl and, for what the file says, from its XML."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC
from pathlib import Path

import openpyxl
import pytest

from db.catalogue import Catalogue
from db.errors import ExportError
from db.exports import spreadsheet
from db.exports.files import COLUMNS, MAIN_COLUMNS, Layout
from db.exports.spreadsheet import export_spreadsheet
from db.queries import Filter, rows
from db.records import PendingRow
from tests.db.samples import CRAWL, MODEL, NASTY_PATHS, labelled, put, rejected, sandals

FORMULAS = ["=1+1", "+1", "-1", "@sum", "=HYPERLINK(1)", "#N/A", "'quoted", "\t=1"]


@pytest.fixture
def filled(store: Catalogue) -> Catalogue:
    """Nasty paths, and formulas as shop and detail."""
    store.add_pending(
        CRAWL, [PendingRow(f"/{n}", shop=text) for n, text in enumerate(FORMULAS)], MODEL
    )
    put(store, [labelled(f"/{n}", sandals(confidence=1 / 3)) for n in range(len(FORMULAS))])
    put(store, [labelled(path) for path in NASTY_PATHS])
    put(store, [rejected("/bad")])
    return store


def cells(file: Path | io.BytesIO) -> list[list[object]]:
    book = openpyxl.load_workbook(file)
    assert book.sheetnames == ["catalogue"]
    return [list(row) for row in book["catalogue"].iter_rows()]


def test_cells_are_those_of_the_table_and_text_is_no_formula(
    filled: Catalogue, tmp_path: Path
) -> None:
    target = tmp_path / "o.xlsx"
    done = export_spreadsheet(filled.engine, Filter(), target, Layout())
    header, *body = cells(target)
    assert [cell.value for cell in header] == list(COLUMNS)
    found = [dict(zip(COLUMNS, row, strict=True)) for row in body]
    expected = list(rows(filled.engine, Filter()))
    assert len(found) == len(expected) == done.rows
    for row, wanted in zip(found, expected, strict=True):
        for name in COLUMNS[:-1]:
            value = getattr(wanted, name)
            if hasattr(value, "astimezone"):
                value = value.astimezone(UTC).replace(tzinfo=None)
                assert abs((row[name].value - value).total_seconds()) < 0.001
            elif isinstance(value, float):
                assert row[name].value == pytest.approx(value, rel=1e-15)
            else:
                assert row[name].value == value, name
    shops = {row["shop"].value: row["shop"] for row in found if row["shop"].value}
    assert set(shops) == set(FORMULAS)
    assert {cell.data_type for cell in shops.values()} == {"s"}
    assert all(cell.quotePrefix for cell in shops.values())
    with zipfile.ZipFile(target) as parts:
        assert b"<f>" not in parts.read("xl/worksheets/sheet1.xml")


def test_a_person_gets_the_main_columns_in_order_of_the_label(
    filled: Catalogue, tmp_path: Path
) -> None:
    target = tmp_path / "o.xlsx"
    export_spreadsheet(filled.engine, Filter(), target, Layout(MAIN_COLUMNS, "label"))
    header, *body = cells(target)
    assert [cell.value for cell in header] == list(MAIN_COLUMNS)
    labels = [row[MAIN_COLUMNS.index("label")].value for row in body]
    assert labels == sorted(filter(None, labels)) + [None]  # the rejected one comes last


def test_what_a_cell_cannot_hold_is_escaped_or_cut(store: Catalogue, tmp_path: Path) -> None:
    control, long = "/a\x01b\x1f\ufffe", "/" + "x" * 40_000
    put(store, [labelled(control), labelled(long)])
    export_spreadsheet(store.engine, Filter(), tmp_path / "o.xlsx", Layout(("path",)))
    _, *body = cells(tmp_path / "o.xlsx")
    found = {row[0].value for row in body}
    assert found == {"/a\\x01b\\x1f\\xfffe", long[:32_766] + "…"}


def test_more_rows_than_a_sheet_holds_are_refused(
    filled: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreadsheet, "MOST_ROWS", 3)
    with pytest.raises(ExportError, match="holds at most 3 rows: narrow the filter"):
        export_spreadsheet(filled.engine, Filter(), tmp_path / "o.xlsx", Layout())
    assert list(tmp_path.glob("*xlsx*")) == []


def test_an_empty_workbook_has_its_header(store: Catalogue, tmp_path: Path) -> None:
    export_spreadsheet(store.engine, Filter(), tmp_path / "o.xlsx", Layout(("path", "label")))
    assert [[cell.value for cell in row] for row in cells(tmp_path / "o.xlsx")] == [
        ["path", "label"]
    ]
