"""Holding out shops: every source of a shop together, over seeds, cached, in one table."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cascade.data.dataset import Item
from cascade.drawings import LEAVES, render
from cascade.evaluation.metrics import Rate
from tools import hold_out_sources, shops
from tools.held_out_training import (
    HeldOutResult,
    cached_result,
    hold_out_heads,
    product_factors,
)

from .test_held_out_training import TREE, drawn, joined


def test_every_source_of_a_shop_is_held_out_with_the_others() -> None:
    sources = ("smartstyle_puma", "smartstyle_nike", "myntra", "home", "maho", "magento2")
    items = [Item(f"{n}", "shoes", "train", source) for n, source in enumerate(sources)]
    found = shops.sources_by_shop(items)
    assert found == {
        "Myntra": ("myntra",),
        "smartstyle": ("smartstyle_nike", "smartstyle_puma"),
        "magento2, maho": ("magento2", "maho"),
    }  # home is always trained on
    with pytest.raises(ValueError, match="'maho': expected one shop, received one and two"):
        shops.sources_by_shop(items, {"one": ("ma*",), "two": ("maho",)})


def test_gender_and_type_are_counted_over_all_categories() -> None:
    rates = {
        "primary": Rate(9, 10),
        "shoes gender": Rate(3, 4),
        "trousers_jeans gender": Rate(1, 4),
        "shoes type": Rate(2, 6),
        "in-scope lost": Rate(1, 8),
    }
    found = shops.headline_rates(rates)
    assert found["gender"] == Rate(4, 8)
    assert found["type"] == Rate(2, 6)
    assert found["primary"] == Rate(9, 10)
    assert found["lost"] == Rate(1, 8)
    assert "leaf" not in found


def test_the_mean_is_over_shops_and_its_spread_over_seeds() -> None:
    results = {
        "large": {1: {"primary": Rate(900, 1000)}, 2: {"primary": Rate(920, 1000)}},
        "small": {1: {"primary": Rate(30, 50)}, 2: {"primary": Rate(30, 50)}},
        "tiny": {1: {"primary": Rate(0, 29)}, 2: {"primary": Rate(0, 29)}},  # does not count
    }
    assert shops.means_by_seed(results, "primary") == {1: 75.0, 2: 76.0}
    rows = {row[0]: row[1] for row in shops.shop_table(results)}
    assert rows == {
        "large": "91.0 ± 1.4 (1000)",
        "small": "60.0 ± 0.0 (50)",
        "tiny": "0.0 ± 0.0 (29)",
        shops.MEAN: "75.5 ± 0.7",
    }


def test_seeds_weigh_products_differently_and_the_pictures_of_one_product_alike() -> None:
    items = [Item(f"{n}", "x", group=f"{n // 2}" if n < 6 else "") for n in range(8)]
    first, again, other = (product_factors(items, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).all()
    assert (first[0:6:2] == first[1:6:2]).all()
    assert len(set(first)) == 5  # three products and two pictures without a group
    features = drawn("known", 0, 1)
    one, same, two = (hold_out_heads(features, (), TREE, seed=seed).logits for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - two).max() > 0.01


def test_a_stored_result_is_taken_until_a_label_changes(tmp_path: Path) -> None:
    features = joined(drawn("known", 0, 1), drawn("unseen", 2.5, 2))
    calls: Counter[str] = Counter()

    def compute() -> HeldOutResult:
        calls["trained"] += 1
        return hold_out_heads(features, ("unseen",), TREE)

    path = tmp_path / "folder" / "1.npz"
    first, stored = (
        cached_result(path, features.items, ("unseen",), TREE, compute) for _ in range(2)
    )
    assert calls["trained"] == 1
    assert stored.rates() == first.rates()
    assert stored.items == first.items
    np.testing.assert_array_equal(stored.logits, first.logits)
    assert stored.validation_logits is not None
    np.testing.assert_array_equal(stored.validation_logits, first.validation_logits)
    trained = features.items[1]
    label = "toys/car" if trained.label != "toys/car" else "toys/ball"
    items = (features.items[0], replace(trained, label=label), *features.items[2:])
    cached_result(path, items, ("unseen",), TREE, compute)
    assert calls["trained"] == 2


def test_the_command_holds_shops_out_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drawings as photographs of two brands of one shop, of another shop, and of home."""
    rows = []
    for number, source in enumerate(("smartstyle_a", "smartstyle_b", "ooad", "home")):
        (tmp_path / source).mkdir()
        for place, leaf in enumerate(LEAVES * 4):
            path = tmp_path / source / f"{place}.jpg"
            render(leaf, seed=1000 * number + place).save(path)
            split = ("train", "train", "validation", "test")[place // len(LEAVES)]
            rows.append((path.relative_to(tmp_path), leaf, split, source, f"{source}{place}"))
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split", "source", "group"), *rows])
    arguments = [str(manifest), "--shops", "--seeds", "1,2", "--work", str(tmp_path / "work")]
    arguments += ["--features", str(tmp_path / "features.npy")]

    def table() -> str:
        hold_out_sources.main(arguments)
        return capsys.readouterr().out.split("heads on the frozen trunk\n\n")[-1]

    first = table()
    lines = [[cell.strip() for cell in line.split("|")] for line in first.strip().splitlines()]
    assert [line[1] for line in lines] == ["shop", "---", "smartstyle", "ooad", shops.MEAN]
    assert lines[0][2:-1] == list(shops.HEADLINE)
    assert lines[2][2].endswith("(144)") and lines[3][2].endswith("(72)")  # of every split
    stored = sorted((tmp_path / "work").rglob("*.npz"))
    assert [path.name for path in stored] == ["1.npz", "2.npz"] * 2
    written = [
        path.stat().st_ino for path in stored
    ]  # a result that is written again is a new file
    stored[0].unlink()  # a run that was stopped
    assert table() == first
    assert stored[0].is_file()
    assert [path.stat().st_ino for path in stored[1:]] == written[1:]
