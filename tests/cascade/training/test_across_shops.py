"""Thresholds across shops: sure in shops that neither training nor the thresholds saw."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.calibration import thresholds_of
from cascade.data.dataset import Item
from cascade.data.shops import items_across_shops, split_by_shop
from cascade.errors import DatasetError
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy
from cascade.training.across_shops import Answers, Sure, fit_across_shops
from cascade.training.recalibrate import calibrate

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car", "none"], "none")
ROUTING = Routing(TREE, TREE.decisions())
PRECISION = 0.9


def answers(shop: str, count: int, seed: int, scale: float = 1.0) -> Answers:
    """Labels drawn from the probabilities of logits, which are then multiplied by ``scale``.

    With a scale above 1 the cascade is surer than it may be, as in a shop that it never saw.
    """
    random = np.random.default_rng(seed)
    honest = random.normal(0, 4.0, (count, ROUTING.decisions.width)).astype(np.float32)
    leaves = ROUTING.leaf_probabilities(honest)
    labels = [TREE.leaves[random.choice(len(row), p=row)] for row in leaves]
    items = (Item(f"{shop}{n}", label, "train", shop) for n, label in enumerate(labels))
    return Answers(honest * np.float32(scale), tuple(items))


def test_thresholds_fitted_at_home_fail_elsewhere_and_those_across_shops_hold() -> None:
    home = answers("home", 3000, 1)
    shops = {name: answers(name, 600, seed, 3.0) for seed, name in enumerate("abc", 2)}
    further = answers("further", 3000, 9, 3.0)
    at_home, _ = calibrate(ROUTING, home.logits, home.items, PRECISION)
    assert (Sure.of(at_home, answers("home", 3000, 8)).right.value or 0) > PRECISION - 0.01
    assert (Sure.of(at_home, further).right.value or 1) < PRECISION - 0.05
    found = fit_across_shops(ROUTING, home, shops, PRECISION)
    reached = Sure.of(found.routing, further)
    assert (reached.right.value or 0) > PRECISION - 0.01
    assert reached.right.count > 300
    # what cross-fitting promises is what the further shop gets
    assert found.mean_right == pytest.approx(reached.right.value, abs=0.03)
    assert found.mean_coverage == pytest.approx(reached.coverage.value or 0, abs=0.05)
    assert set(found.elsewhere) == {"a", "b", "c"}
    assert all(
        found.nodes[node].threshold >= threshold for node, threshold in at_home.thresholds.items()
    )
    assert found.home.coverage.count == 3000  # each picture once, judged without it


def test_thresholds_are_fitted_to_familiar_pictures_only() -> None:
    """The unseen shops have as many pictures again that look like nothing at home, all wrong."""
    home = answers("home", 3000, 1)
    shops = {}
    for seed, name in enumerate("abc", 2):
        good, odd = answers(name, 400, seed), answers(name, 400, seed + 10)
        wrong = {"pets/cat": "toys/ball", "pets/dog": "toys/ball", "none": "pets/dog"}
        items = (
            Item(f"{i.path}-odd", wrong.get(i.label, "pets/cat"), "train", name) for i in odd.items
        )
        shops[name] = Answers(np.concatenate([good.logits, odd.logits * 4]), (*good.items, *items))
    plain = fit_across_shops(ROUTING, home, shops, PRECISION)
    familiar = fit_across_shops(ROUTING, home, shops, PRECISION, familiar=0.95)
    assert plain.mean_coverage < 0.1
    assert familiar.mean_coverage > 0.2
    assert (familiar.mean_right or 0) > PRECISION - 0.02


def test_no_label_stops_where_unseen_shops_show_that_it_is_never_right() -> None:
    home = answers("home", 2000, 1)
    shops = {}
    for seed, name in enumerate("ab", 2):
        given = answers(name, 400, seed)
        wrong = {"pets/cat": "toys/ball", "pets/dog": "toys/ball", "toys/ball": "pets/cat"}
        wrong |= {"toys/car": "pets/cat", "none": "pets/dog"}
        items = (Item(i.path, wrong[i.label], "train", name) for i in given.items)
        shops[name] = Answers(given.logits, tuple(items))
    found = fit_across_shops(ROUTING, home, shops, PRECISION)
    assert {entry.how for entry in found.nodes.values()} == {"never"}
    assert Sure.of(found.routing, home).coverage.right == 0
    assert found.mean_right is None and found.mean_coverage == 0
    assert "not known" in found.lines()[1]


def test_too_few_pictures_elsewhere_leave_the_thresholds_of_home() -> None:
    home = answers("home", 2000, 1)
    shops = {name: answers(name, 4, seed) for seed, name in enumerate("ab", 2)}
    at_home, _ = calibrate(ROUTING, home.logits, home.items, PRECISION)
    found = fit_across_shops(ROUTING, home, shops, PRECISION)
    assert thresholds_of(found.nodes) == at_home.thresholds
    assert {entry.how for entry in found.nodes.values()} <= {"home", "floor"}


ITEMS = [
    Item(f"{n}", "none", split, source)
    for n, (source, split) in enumerate(
        [("north_1", "train"), ("north_2", "test"), ("south", "train"), ("home", "train")]
        + [("home", "validation"), ("east", "validation")]
    )
]


def test_shops_are_chosen_by_their_sources_and_home_by_its_split() -> None:
    shops = ("north_*", "south, east")
    chosen = items_across_shops(ITEMS, shops, "validation")
    assert [item.path for item in chosen] == ["0", "1", "2", "4", "5"]
    home, rows = split_by_shop(chosen, shops)
    assert home.tolist() == [False, False, False, True, False]
    assert rows["north_*"].tolist() == [True, True, False, False, False]
    assert rows["south, east"].tolist() == [False, False, True, False, True]


@pytest.mark.parametrize(
    ("shops", "message"),
    [
        (("south",), "at least 2 shops, received 1"),
        (("south", "south"), "at least 2 shops, received 1"),
        (("south", "west"), "shop 'west': no picture has a source that matches; .*north_1"),
        (("south", "s*"), "source 'south': expected one shop, received 2"),
        (("north_*", "south,east,home"), "no pictures of other sources"),
    ],
)
def test_shops_that_do_not_fit_the_pictures_are_refused(
    shops: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        items_across_shops(ITEMS, shops, None)
