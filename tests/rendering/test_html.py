"""Pages from templates: whatever a name holds, it shows as text."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest

from commands.contact_sheets import relabel_diff, review_sheet
from db.records import Row
from db.relabelling import LabelChange
from rendering.html import data_uri, jpeg_data_uri, render

HOSTILE = {
    "tag": ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    "quotes": ("a\" onload='x' `y`", "a\" onload='x' `y`"),
    "entity": ("&lt;b&gt; &amp;", "&lt;b&gt; &amp;"),
    "template": ("{{ 7 * 7 }}{% include 'base.html' %}", "{{ 7 * 7 }}{% include 'base.html' %}"),
    "newline": ("two\nlines\r\t", "two\\nlines\\r\\t"),
    "surrogate": ("caf\udce9.jpg", "caf\\udce9.jpg"),
    "direction": ("gpj.\u202eexe", "gpj.\\u202eexe"),
    "nul": ("a\x00b", "a\\x00b"),
    "accents": ("Größe 鞋 👠", "Größe 鞋 👠"),
}


class Page(HTMLParser):
    """The tags of a page, its text, and the attributes of each tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def row(path: str, label: str = "shoes", best_leaf: str = "shoes/male/boots") -> Row:
    values = dict.fromkeys(Row.__dataclass_fields__)
    return Row(**values | {"id": 7, "path": path, "label": label, "best_leaf": best_leaf})


@pytest.mark.parametrize("name", HOSTILE)
def test_a_review_sheet_shows_hostile_text_as_text(name: str) -> None:
    given, shown = HOSTILE[name]
    source = review_sheet([row(f"/missing/{given}", given, f"leaf {given}")], f"{given}.csv")
    page = Page(source)
    assert source.encode("utf-8")
    assert "script" not in page.tags
    assert [name for name, _ in page.attributes if name.startswith("on")] == []
    assert ("title", f"/missing/{shown}") in page.attributes
    assert f"In {shown}.csv," in page.text
    assert f"leaf {shown}" in page.text
    assert page.tags.count("h2") == 1
    assert "data:image" not in source  # no such file: its reason instead
    assert "missing" in page.text or "unreadable" in page.text


def test_a_review_sheet_shows_the_two_best_leaves_with_their_own_probabilities() -> None:
    leaves: dict[str, Any] = {"best_leaf_confidence": 0.62, "second_leaf": "shoes/male/sandals"}
    stopped = replace(
        row("/a", "shoes"), confidence=0.99, category_confidence=0.99, type_confidence=0.58
    )
    now = replace(stopped, **leaves, second_leaf_confidence=0.31)
    text = " ".join(Page(review_sheet([now], "t.csv")).text.split())
    assert "7 0.62 shoes/male/boots 0.31 shoes/male/sandals" in text
    before = " ".join(Page(review_sheet([stopped], "t.csv")).text.split())
    assert "7 0.58 shoes/male/boots" in before  # labelled by an earlier version
    assert "0.99" not in text + before


@pytest.mark.parametrize("name", HOSTILE)
def test_a_relabel_diff_shows_hostile_text_as_text(name: str) -> None:
    given, shown = HOSTILE[name]
    source = relabel_diff([LabelChange(given, "new", 1200, (f"/missing/{given}",))], f"m{given}")
    page = Page(source)
    assert source.encode("utf-8")
    assert "script" not in page.tags
    assert f"{shown} → new: 1,200" in page.text
    assert f"Model m{shown}." in page.text
    assert ("title", f"/missing/{shown}") in page.attributes


def test_changes_come_before_labels_that_stay() -> None:
    changes = [
        LabelChange("a", "a", 5, ()),
        LabelChange("a", "b", 2, ()),
        LabelChange("b", "b", 1, ()),
    ]
    page = Page(relabel_diff(changes, "m")).text
    assert "2 of 8 labels would change" in page
    assert page.index("a → b: 2") < page.index("a → a: 5") < page.index("b → b: 1")


def test_a_value_that_was_not_given_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("review_sheet.html", count=1, sections=[])


def test_every_page_has_the_base_and_its_style() -> None:
    folder = Path(__file__).parents[2] / "rendering" / "templates"
    style = (folder / "style.css").read_text(encoding="utf-8")
    page = render("review_sheet.html", count=0, table="t.csv", sections=[])
    assert page.startswith("<!doctype html>\n<html lang=")
    assert style in page
    pages = {path.name for path in folder.glob("*.html")} - {"base.html", "macros.html"}
    for name in pages:
        source = (folder / name).read_text(encoding="utf-8")
        assert source.startswith('{% extends "base.html" %}\n'), name
        assert "safe" not in source, name  # nothing turns the escaping off


def test_data_uris_hold_the_bytes() -> None:
    assert data_uri(b"\x00\xff", "image/png") == "data:image/png;base64,AP8="
    assert jpeg_data_uri(np.zeros((2, 2, 3), np.uint8)).startswith("data:image/jpeg;base64,/9j/")
