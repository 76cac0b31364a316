"""What a sample tells: figures worked out by hand, and certificates that are true of the crawl."""

from __future__ import annotations

import pytest

from cascade.evaluation.audit import Findings, Judged, enough, findings, first_steps
from cascade.evaluation.learn_then_test import fixed_sequence

BOOTS, SANDALS = "shoes/male/boots", "shoes/female/sandals"


def judged(label: str = BOOTS, truth: str | None = BOOTS, *, confidence: float = 0.99) -> Judged:
    return Judged(label, label, confidence, sure=label.count("/") == 2, truth=truth)


def told(
    sample: list[Judged], *, stratified: bool = False, steps: tuple[float, ...] = (0.0,)
) -> Findings:
    population: dict[tuple[str, bool], int] = {}
    for one in sample:
        population[one.label, one.sure] = population.get((one.label, one.sure), 0) + 10
    return findings(
        sample,
        population,
        stratified=stratified,
        steps=steps,
        precision=0.98,
        confidence=0.95,
        next_confidence=0.975,
    )


@pytest.mark.parametrize(("mistakes", "enough_pictures"), [(0, 149), (1, 236), (2, 313)])
def test_certifies_from_the_documented_sizes_on(mistakes: int, enough_pictures: int) -> None:
    wrong = [judged(truth=SANDALS)] * mistakes
    found = told([judged()] * (enough_pictures - mistakes) + wrong).certificate
    assert found.threshold == 0 and found.more == 0
    short = told([judged()] * (enough_pictures - mistakes - 1) + wrong).certificate
    assert short.threshold is None and short.more == 1


def test_unanswered_pictures_are_mistakes() -> None:
    sample = [judged()] * 148 + [judged(truth=None)]
    found = told(sample)
    assert found.answered == 148
    assert found.certificate.threshold is None and found.certificate.more == 236 - 149


def test_figures_of_each_level_and_of_what_is_lost() -> None:
    sample = [
        *[judged()] * 6,
        judged(truth="shoes/male/formal"),
        judged(truth="shoes/male"),  # a person who cannot tell confirms no leaf
        judged("shoes/male", BOOTS),
        judged("out_of_scope", "out_of_scope"),
        judged("out_of_scope", BOOTS),
    ]
    found = {bound.name: bound for bound in told(sample).bounds}
    assert (found["sure labels"].count, found["sure labels"].of) == (6, 8)
    assert (found["level 1"].count, found["level 1"].of) == (10, 11)
    assert (found["level 2"].count, found["level 2"].of) == (9, 9)
    assert (found["level 3"].count, found["level 3"].of) == (6, 8)
    lost = found["lost as out_of_scope"]
    assert (lost.count, lost.of, lost.low) == (1, 11, None)
    assert lost.high == pytest.approx(0.3644, abs=1e-4)  # 1-sided Clopper-Pearson, 1 of 11
    assert found["sure labels"].rows == 80


def test_a_label_without_pictures_spoils_a_stratified_bound() -> None:
    """Where a label of the crawl has half its weight in the sample, its mistakes count twice."""
    fair = told([judged()] * 60 + [judged(SANDALS, SANDALS)] * 60, stratified=True)
    (first, *_) = fair.bounds
    population = {(BOOTS, True): 600, (SANDALS, True): 600}
    uneven = findings(
        [judged()] * 90 + [judged(SANDALS, SANDALS)] * 30,
        population,
        stratified=True,
        steps=(0.0,),
        precision=0.98,
        confidence=0.95,
        next_confidence=0.975,
    ).bounds[0]
    assert first.low == pytest.approx(0.05 ** (1 / 120))  # no mistake of 120
    assert 1 - (uneven.low or 0) == pytest.approx(2 * (1 - 0.05 ** (1 / 120)))


def test_steps_start_where_enough_sure_labels_are_expected() -> None:
    # of 100 sure labels, 80 have a confidence of 0.9 or more; the sample holds 400 in the mean
    counts = [0, 0, 0, 50, 60, 70, 80, 90, 95, 100, 100]
    population = {(BOOTS, True): [*counts, 100], ("shoes/male", False): [*[900] * 11, 900]}
    drawn = {(BOOTS, True): 400.0, ("shoes/male", False): 3600.0}
    assert first_steps(population, drawn, 313) == [0.9, 0.8, 0.7, 0.6, 0.5, 0.0]
    assert first_steps(population, drawn, 321) == [0.8, 0.7, 0.6, 0.5, 0.0]
    assert first_steps(population, drawn, 500) == [0.0]


def test_a_sequence_stops_at_its_first_failure() -> None:
    """The last threshold would pass by itself; it is not certified, as the one before fails."""
    scores = [0.99] * 150 + [0.9] * 2 + [0.8] * 400
    right = [True] * 150 + [False] * 2 + [True] * 400
    tested = fixed_sequence((0.95, 0.85, 0.5), scores, right, 0.98, 0.95)
    assert [step.kept for step in tested] == [150, 152, 552]
    assert [step.low >= 0.98 for step in tested] == [True, False, True]
    assert [step.certified for step in tested] == [True, False, False]
    assert fixed_sequence((0.995,), scores, right, 0.98, 0.95)[0].certified is False


def test_the_size_of_a_new_audit() -> None:
    assert enough(0, 100, 0.98, 0.95) == 149
    assert enough(1, 200, 0.98, 0.95) == 313  # half a percent: one or two mistakes
    assert enough(5, 100, 0.98, 0.95) is None
