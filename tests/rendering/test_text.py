"""Aligned tables, one printer for all commands."""

from __future__ import annotations

import itertools

import pytest

from rendering.text import counted, markdown_table, printable, table_line, table_lines, text_table


def test_numbers_are_aligned_to_the_right() -> None:
    assert text_table(("leaf", "found"), [["boots", "9"], ["a", "1,000"]]).splitlines() == [
        "leaf   found",
        "-----  -----",
        "boots      9",
        "a      1,000",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert text_table(("a", "bc"), []) == "a  bc\n-  --"
    assert list(table_lines(None, [])) == []


def test_wide_columns_go_to_the_end_and_nothing_is_cut() -> None:
    rows = [["/a/long/path", "1"], ["/b", "22"]]
    assert list(table_lines(("path", "id"), rows, widest_cell=5)) == [
        "id  path",
        "--  -----",
        "1   /a/long/path",
        "22  /b",
    ]


def test_an_endless_table_is_printed_as_it_comes() -> None:
    rows = ([str(10**n)] for n in itertools.count())
    lines = table_lines(("n",), rows, measured_rows=2)
    assert list(itertools.islice(lines, 5)) == ["n", "--", "1", "10", "100"]


def test_every_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="zip"):
        table_line(["a", "b"], [1])


def test_markdown_has_the_same_alignment() -> None:
    assert markdown_table(("a", "b"), [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("größe 鞋") == "größe 鞋"
    assert printable("a\x1b[31m\n\udcff\u202e") == "a\\x1b[31m\\n\\udcff\\u202e"


def test_one_is_not_many() -> None:
    assert [counted(number, "picture") for number in (0, 1, 2, 1200)] == [
        *("0 pictures", "1 picture", "2 pictures", "1,200 pictures")
    ]
