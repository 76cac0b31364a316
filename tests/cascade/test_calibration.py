"""Calibration on answers with known true probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.calibration import (
    fit_temperatures,
    lowest_threshold,
    smoothed_cross_entropy,
    thresholds_of,
    tune_thresholds,
)
from cascade.data.dataset import Item, targets
from cascade.evaluation.evaluate import evaluate
from cascade.evaluation.metrics import expected_calibration_error
from cascade.routing import Routing, softmax
from cascade.taxonomy import Taxonomy

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car", "none"], "none")
DECISIONS = TREE.decisions()
ROUTING = Routing(TREE, DECISIONS)


def drawn_answers(count: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, list[str]]:
    """Honest logits, and labels drawn from exactly their probabilities.

    The logits are multiplied by ``scale``: above 1, the network is over-confident.
    """
    random = np.random.default_rng(seed)
    honest = random.normal(0, 4.0, (count, ROUTING.decisions.width))
    leaves = ROUTING.leaf_probabilities(honest)
    labels = [TREE.leaves[random.choice(len(row), p=row)] for row in leaves]
    return honest * scale, labels


def leaf_error(routing: Routing, logits: np.ndarray, labels: list[str]) -> float:
    leaves = routing.leaf_probabilities(logits)
    right = np.array([TREE.leaves[n] for n in leaves.argmax(axis=1)]) == np.array(labels)
    found = expected_calibration_error(leaves.max(axis=1), right)
    assert found is not None
    return found


@pytest.mark.parametrize("scale", [3.0, 0.2])  # 0.2: under-confident, like averaged weights
def test_temperature_undoes_a_scale_and_lowers_the_calibration_error(
    scale: float,
) -> None:
    logits, labels = drawn_answers(4000, 1, scale)
    answers = targets([Item("", label) for label in labels], DECISIONS, TREE)
    found = fit_temperatures(logits, answers, DECISIONS)
    assert set(found) == {"", "pets", "toys"}
    assert list(found.values()) == pytest.approx([scale] * 3, rel=0.15)
    others, truth = drawn_answers(4000, 2, scale)
    before = leaf_error(ROUTING, others, truth)
    after = leaf_error(Routing(TREE, DECISIONS, temperatures=found), others, truth)
    assert before > 0.1
    assert after < 0.03


def test_partly_known_labels_count_if_there_are_no_others() -> None:
    logits = np.array([[2.0, 0, 0]] * 10)
    sure = smoothed_cross_entropy(logits, np.array([[1.0, 1, 1]] * 10), 1.0)
    p = softmax(logits)
    # nothing is asked of a picture that any outcome fits, but for the softening of 1/12
    assert sure == pytest.approx(-np.log(p[0]).mean() / 12)


def test_smoothing_bounds_the_confidence_of_a_set_without_mistakes() -> None:
    logits = np.array([[4.0, 0.0]] * 20)
    found = fit_temperatures(logits, np.array([[1.0, 0.0]] * 20), TREE.decisions()[1:2])["pets"]
    assert 0.4 < found < 3
    # 20 right of 20 and two more, one right and one wrong: 21/22 and not 1
    assert softmax(logits[:1] / found)[0, 0] == pytest.approx(1 - 0.5 / 22, abs=0.005)


def test_temperature_is_fitted_to_fully_known_labels() -> None:
    """Labels that tell only the easy part (the kind) would lower the temperature."""
    random = np.random.default_rng(8)
    tree = Taxonomy.from_labels(
        [f"pets/{sex}/{kind}" for sex in ("f", "m") for kind in ("cat", "dog")]
    )
    decisions = tree.decisions()[-1:]
    assert decisions.outcomes == ("pets/f/cat", "pets/f/dog", "pets/m/cat", "pets/m/dog")
    honest = random.normal(0, 1, (3000, 4)) + [4, 0, 4, 0]  # cats all, of either sex
    truth = [random.choice(4, p=row) for row in softmax(honest)]
    whole = np.eye(4)[truth]
    partly = np.tile([1.0, 0, 1.0, 0], (3000, 1))
    both = np.concatenate([honest, honest]) * 2, np.concatenate([whole, partly])
    found = fit_temperatures(*both, decisions)[decisions[0].node]
    assert found == pytest.approx(2.0, rel=0.1)
    # with only a few fully known labels, the partly known ones count too
    few = fit_temperatures(both[0][2990:], both[1][2990:], decisions)[decisions[0].node]
    assert few < 1.5


def test_a_decision_without_pictures_has_temperature_1() -> None:
    answers = targets([Item("", "none")] * 50, DECISIONS, TREE)
    found = fit_temperatures(np.zeros((50, ROUTING.decisions.width)), answers, DECISIONS)
    assert found["pets"] == found["toys"] == 1.0


def test_lowest_threshold_of_known_scores() -> None:
    # 200 right from 0.9 up, then every second one wrong
    score = np.concatenate([np.linspace(1, 0.9, 200), np.linspace(0.89, 0.5, 100)])
    right = np.concatenate([np.ones(200, bool), np.arange(100) % 2 == 0])
    found = lowest_threshold(score, right, 0.98)
    assert found is not None
    passed = score >= found
    assert 190 <= passed.sum() < 210
    assert lowest_threshold(score[:20], right[:20], 0.98) is None  # 20 of 20 proves nothing
    assert lowest_threshold(score, ~right, 0.98) is None


def test_equal_scores_pass_or_fail_together() -> None:
    score = np.array([0.9] * 100 + [0.6] * 10)
    right = np.array([True] * 100 + [True] * 5 + [False] * 5)
    found = lowest_threshold(score, right, 0.97)
    assert found is not None and 0.6 < found <= 0.9


def test_a_threshold_is_between_two_scores() -> None:
    # another runtime's probabilities differ in the last digits: no picture may hang on those
    score = np.array([0.9] * 100 + [0.6] * 10)
    right = np.array([True] * 100 + [False] * 10)
    assert lowest_threshold(score, right, 0.97) == pytest.approx(0.75)
    below_all = lowest_threshold(score[:100], right[:100], 0.97)
    assert below_all is not None and 0.899 < below_all < 0.9 - 1e-4


def test_weighted_answers_count_by_their_weight() -> None:
    """A large shop is right, and a small one wrong below 0.7: half wrong, if shops count alike."""
    score = np.concatenate([np.linspace(1, 0.5, 400), np.linspace(1, 0.5, 40)])
    right = np.concatenate([np.ones(400, bool), np.linspace(1, 0.5, 40) > 0.7])
    alike = np.repeat([1 / 400, 1 / 40], [400, 40])
    by_picture, by_shop = (lowest_threshold(score, right, 0.93, w) for w in (None, alike))
    assert by_picture is not None and by_picture < 0.6
    assert by_shop is not None and by_shop > 0.65
    equal = lowest_threshold(score, right, 0.93, np.full(440, 0.3))
    assert equal == pytest.approx(by_picture)


@pytest.mark.parametrize("precision", [0.9, 0.98])
def test_thresholds_reach_the_required_precision_on_other_pictures(precision: float) -> None:
    logits, labels = drawn_answers(6000, 3)
    found = tune_thresholds(ROUTING, logits, labels, precision)
    assert set(found) == {node.path for node in TREE.nodes}
    others, truth = drawn_answers(6000, 4)
    routing = Routing(TREE, DECISIONS, thresholds=thresholds_of(found))
    rates = evaluate(routing, others, [Item("", label) for label in truth]).rates
    reached = rates["leaf labels right"].value
    covered = rates["leaf labels' coverage, in scope"].value
    # two standard deviations of a share over some thousand labels
    assert reached is not None and reached >= precision - 0.01
    assert covered is not None and covered > 0.1
    bare = evaluate(ROUTING, others, [Item("", label) for label in truth]).rates
    assert (bare["leaf labels right"].value or 1) < precision - 0.05


def test_nodes_with_few_answers_pool_or_assume_a_threshold() -> None:
    logits, labels = drawn_answers(45, 5)
    found = tune_thresholds(ROUTING, logits, labels, 0.98)
    assert {entry.how for entry in found.values()} == {"assumed"}
    assert set(thresholds_of(found).values()) == {0.98}
    nothing = tune_thresholds(ROUTING, np.zeros((0, ROUTING.decisions.width)), [], 0.98)
    assert set(thresholds_of(nothing).values()) == {0.98}


def test_threshold_of_out_of_scope_is_never_below_the_precision() -> None:
    """Of 100 answers "none" at 0.7 all are right, so the evidence would let them all through."""
    logits = np.zeros((400, ROUTING.decisions.width))
    none = TREE.decisions()[0].outcomes.index("none")
    logits[:200, none] = np.log(0.7 / 0.15)  # three outcomes: 0.7 and twice 0.15
    logits[200:, 0] = np.log(0.7 / 0.15)
    labels = ["none"] * 200 + ["pets/cat"] * 200
    found = tune_thresholds(ROUTING, logits, labels, 0.9)
    assert (found["none"].threshold, found["none"].how) == (0.9, "floor")
    assert found["none"].answers == 0  # all 200 are for a person to look at
    assert found["pets/cat"].threshold < 0.7  # what stays in the catalogue needs evidence alone
    routing = Routing(TREE, DECISIONS, thresholds=thresholds_of(found))
    answer = routing.label(logits[:1])[0]
    assert (answer.label, answer.needs_review) == ("none", True)


def test_an_invalid_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="98"):
        tune_thresholds(ROUTING, np.zeros((0, ROUTING.decisions.width)), [], 98)
