"""Bundles side by side in shops that none of them was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cascade.data.dataset import read_labelled_folder
from cascade.drawings import write_sample_crawl
from cascade.errors import BundleError
from cascade.taxonomy import Taxonomy
from tools.judged_bundles import HOME, judged, tables
from tools.shops import HEADLINE, MEAN


def test_bundles_are_judged_in_unseen_shops_and_at_home(tmp_path: Path) -> None:
    write_sample_crawl(tmp_path / "drawn", 2, 5, junk=False, labelled=True)
    drawn = read_labelled_folder(tmp_path / "drawn", Taxonomy.load())
    places = [("smartstyle_a", "train"), ("smartstyle_b", "test"), ("ooad", "validation")]
    places += [("myntra", "validation"), ("myntra", "train"), ("zappos_sedaozkaya", "test")]
    items = []
    for number, item in enumerate(drawn):
        source, split = places[number % len(places)]
        items.append(replace(item, source=source, split=split))
    found = judged(["default", "accurate"], items)  # the same bundle under two names
    assert list(found) == ["default", "accurate"]
    assert found["default"] == found["accurate"]
    counts = {shop: seeds[0]["primary"].count for shop, seeds in found["default"].items()}
    by = {place: sum((i.source, i.split) == place for i in items) for place in places}
    assert counts == {
        "smartstyle": by[places[0]] + by[places[1]],
        "ooad": by[places[2]],
        HOME: by[places[3]],
    }
    rows = tables(found)
    expected = ["smartstyle", "ooad", MEAN, HOME]
    assert [row[:2] for row in rows] == [[s, n] for s in expected for n in found]
    assert {len(row) for row in rows} == {2 + len(HEADLINE)}


def test_a_bundle_that_was_trained_on_every_shop_cannot_be_judged(tmp_path: Path) -> None:
    write_sample_crawl(tmp_path / "drawn", 1, 5, junk=False, labelled=True)
    drawn = read_labelled_folder(tmp_path / "drawn", Taxonomy.load())
    with pytest.raises(BundleError, match="a shop that none of them was trained on"):
        judged(["default"], [replace(item, source="myntra", split="test") for item in drawn])
