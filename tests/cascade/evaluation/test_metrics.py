"""Metrics against numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cascade.data.dataset import Item
from cascade.evaluation.evaluate import evaluate
from cascade.evaluation.metrics import (
    Rate,
    compatible_leaves_mask,
    confusion_matrix,
    correct_at,
    expected_calibration_error,
    hierarchical_scores,
    macro_f1,
    mean_tree_distance,
    reliability_bins,
    tree_distance,
    wilson_interval,
)
from cascade.evaluation.risk_coverage import coverage_at_precision, operating_point
from cascade.evaluation.tables import text_report
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy

TREE = Taxonomy.load()
SMALL = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car", "none"], "none")


def test_wilson_interval_of_a_textbook_case() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    # 0 of 20: from 0 to z² / (n + z²)
    assert wilson_interval(0, 20) == pytest.approx((0, 3.8415 / 23.8415), abs=1e-4)
    assert wilson_interval(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="3 of 2"):
        wilson_interval(3, 2)


def test_the_rate_of_no_pictures_has_no_value() -> None:
    assert Rate.of([]).value is None
    assert Rate.of([True, False, True, True]) == Rate(3, 4)


def test_hierarchical_scores_by_hand() -> None:
    # boots taken for heels of the same gender: 2 of 3 parts right on both sides
    # sandals answered as shoes/female: 2 of 2 answered are right, 2 of 3 wanted
    # glasses answered as out of scope: nothing in common (0 of 1 answered, 0 of 2 wanted)
    truths = ["shoes/female/boots", "shoes/female/sandals", "glasses/optical"]
    answers = ["shoes/female/high_heels", "shoes/female", "out_of_scope"]
    precision, recall, f1 = hierarchical_scores(truths, answers)
    assert precision == pytest.approx(4 / 6)
    assert recall == pytest.approx(4 / 8)
    assert f1 == pytest.approx(2 * (4 / 6) * (4 / 8) / (4 / 6 + 4 / 8))


def test_tree_distance_counts_edges() -> None:
    assert tree_distance("shoes/male/boots", "shoes/male/boots") == 0
    assert tree_distance("shoes/male/boots", "shoes/male/sandals") == 2
    assert tree_distance("shoes/male/boots", "shoes/female/boots") == 4
    assert tree_distance("shoes/male/boots", "out_of_scope") == 4
    assert tree_distance("shoes/male/boots", "shoes/male") == 1
    assert mean_tree_distance(["glasses/optical"] * 3, ["glasses/optical", "shoes", "glasses"]) == 2
    assert mean_tree_distance(["shoes"], ["shoes"]) is None


def test_confusion_and_macro_f1_by_hand() -> None:
    table = confusion_matrix(list("aaabbc"), list("aabbbb"), list("abcd"))
    assert table.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    # a: 2*2/(3+2), b: 2*2/(2+4), c: 0; d has no picture and does not count
    assert macro_f1(table) == pytest.approx((0.8 + 2 / 3 + 0) / 3)
    assert macro_f1(table, [0, 1]) == pytest.approx((0.8 + 2 / 3) / 2)
    with pytest.raises(ValueError, match="'x'"):
        confusion_matrix(["x"], ["a"], ["a"])


def test_calibration_error_by_hand() -> None:
    # two bins of ten: 0.95 and 1.0 (both right), 0.55 twice (one right)
    confidences = np.array([0.95, 1.0, 0.55, 0.55])
    right = np.array([True, True, True, False])
    expected = 0.5 * abs(0.975 - 1) + 0.5 * abs(0.55 - 0.5)
    assert expected_calibration_error(confidences, right, 10) == pytest.approx(expected)
    bars = reliability_bins(confidences, right, 10)
    assert [(bar.low, bar.count, bar.accuracy) for bar in bars] == [(0.5, 2, 0.5), (0.9, 2, 1.0)]
    assert expected_calibration_error(np.array([]), np.array([])) is None


def test_operating_points_by_hand() -> None:
    #                      right: yes  yes  no   yes  yes  yes  no
    confidence = np.array([0.99, 0.90, 0.80, 0.80, 0.70, 0.70, 0.60])[[3, 0, 6, 1, 5, 2, 4]]
    right = np.array([True, True, False, True, True, True, False])[[3, 0, 6, 1, 5, 2, 4]]
    point = operating_point(confidence, right, 0.8)  # the threshold is inclusive
    assert (point.precision, point.coverage) == (Rate(3, 4), Rate(4, 7))
    assert operating_point(confidence, right, 0.999).precision.value is None
    found = coverage_at_precision(confidence, right, (1.0, 0.8, 0.7, 0.5))
    # the two of 0.80 are accepted together, so only the first two are all right
    assert (found[1.0].threshold, found[1.0].coverage) == (0.90, Rate(2, 7))
    # 3 of 4 is too few, 5 of 6 is enough: the search continues past the dip
    assert (found[0.8].precision, found[0.8].coverage) == (Rate(5, 6), Rate(6, 7))
    assert found[0.7].coverage == found[0.5].coverage == Rate(7, 7)
    assert found[0.7].precision == Rate(5, 7)


def test_an_unreachable_precision_is_left_out() -> None:
    assert coverage_at_precision(
        np.array([0.9, 0.5]), np.array([False, True]), (0.9, 0.5)
    ).keys() == {0.5}
    assert coverage_at_precision(np.zeros(0), np.zeros(0, bool)) == {}
    hundred = np.arange(100) < 7  # 0.07 * 100 is a little more than 7 in floats
    assert coverage_at_precision(np.full(100, 0.5), hundred, (0.07,))[0.07].precision == Rate(
        7, 100
    )


def test_an_answer_is_right_where_all_compatible_leaves_are_below_it() -> None:
    compatible = compatible_leaves_mask(
        ["shoes/?/boots", "shoes/male/boots", "shoes/female", "glasses"], TREE
    )
    assert compatible.sum(axis=1).tolist() == [2, 1, 6, 2]
    right, known = correct_at("shoes/male/boots", compatible, TREE)
    assert (right & known).tolist() == [False, True, False, False]
    assert known.tolist() == [False, True, True, True]  # which gender's boots: not known
    right, known = correct_at("shoes", compatible, TREE)
    assert right.tolist() == [True, True, True, False]
    assert known.all()


def logits_for(*rows: tuple[float, ...]) -> np.ndarray:
    """Logits whose softmax is the given probabilities: primary 3, pets 2, toys 2."""
    return np.array([[math.log(p) for p in row] for row in rows], np.float32)


def test_an_evaluation_counted_by_hand() -> None:
    cat, none = (0.9, 0.05, 0.05, 0.8, 0.2, 0.5, 0.5), (0.1, 0.1, 0.8, 0.5, 0.5, 0.5, 0.5)
    toy = (0.2, 0.7, 0.1, 0.3, 0.7, 0.6, 0.4)
    logits = logits_for(cat, cat, none, toy, toy, none)
    labels = ["pets/cat", "pets/dog", "none", "toys/ball", "toys", "pets/dog"]
    items = [Item("", label) for label in labels]
    thresholds = {"pets/cat": 0.7, "toys/ball": 0.5}
    found = evaluate(Routing(SMALL, SMALL.decisions(), thresholds=thresholds), logits, items)
    rates = {name: (rate.right, rate.count) for name, rate in found.rates.items()}
    assert rates["primary"] == (5, 6)
    assert rates["pets"] == (1, 3)  # the last row's tie goes to the cat
    assert rates["toys"] == (1, 1)  # 'toys' alone says nothing of ball or car
    assert rates["leaf, in scope"] == (2, 4)
    assert rates["out_of_scope found"] == (1, 1)
    assert rates["in-scope lost"] == (1, 5)
    # stopped: cat (.72), cat, none, toys (ball .42 is below .5), toys, none
    assert rates["labels right, at any depth"] == (4, 6)
    assert rates["leaf labels right"] == (1, 2)
    assert rates["leaf labels' coverage, in scope"] == (2, 4)
    assert found.partly_known == 1
    assert found.confusions["pets"].counts.tolist() == [[1, 0], [2, 0]]
    stops = {row.node: (row.rate.right, row.rate.count) for row in found.stops}
    assert stops["pets/cat"] == (1, 2)
    assert stops["toys"] == (2, 2)
    assert found.figures["mean tree distance of the mistakes"] == pytest.approx((2 + 3) / 2)
    # in scope: cat .72 right and wrong, ball .42 right, and one that is none (.8)
    assert (found.operating_points[0].threshold, found.operating_points[0].precision) == (
        0.5,
        Rate(1, 3),
    )
    assert found.operating_points[0].coverage == Rate(3, 4)
    text = text_report(found)
    assert "threshold on the best leaf" in text
    assert "6 pictures, 1 of them" in text
    assert "83.33 %" in text
    assert found.to_json()["rates"]["primary"]["right"] == 5


def test_gender_and_type_are_measured_by_their_summed_probability() -> None:
    names = [leaf for leaf in TREE.leaves if leaf.startswith("shoes/")]
    row = np.full(21, -20.0)
    row[:4] = np.log([0.01, 0.01, 0.97, 0.01])
    shares = dict.fromkeys(names, 0.01)
    # the best leaf is a woman's, but men's shoes together are more probable
    shares |= {"shoes/female/boots": 0.4, "shoes/male/boots": 0.3, "shoes/male/formal": 0.25}
    row[10:] = np.log([shares[name] for name in names])
    logits = row[None].astype(np.float32)
    routing = Routing(TREE, TREE.decisions())
    known = evaluate(routing, logits, [Item("", "shoes/male/boots")])
    assert known.rates["shoes gender"] == Rate(1, 1)
    assert known.rates["shoes type"] == Rate(1, 1)
    assert known.rates["leaf, in scope"] == Rate(0, 1)
    partly = evaluate(routing, logits, [Item("", "shoes/?/boots")])
    assert partly.rates["shoes gender"] == Rate(0, 0)
    assert partly.rates["shoes type"] == Rate(1, 1)
    assert partly.rates["primary"] == Rate(1, 1)
