"""The bounds against rational arithmetic, which rounds nothing."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest

from cascade.evaluation.exact_bounds import lower_bound, needed, upper_bound


def at_least(count: int, of: int, share: Fraction) -> Fraction:
    return sum(
        (comb(of, i) * share**i * (1 - share) ** (of - i) for i in range(count, of + 1)),
        Fraction(0),
    )


@pytest.mark.parametrize(
    ("right", "of", "confidence"), [(1, 2, 0.5), (7, 10, 0.95), (49, 50, 0.99), (60, 60, 0.9)]
)
def test_tail_at_the_lower_bound_is_what_may_be_wrong(
    right: int, of: int, confidence: float
) -> None:
    bound = Fraction(lower_bound(right, of, confidence))
    assert float(at_least(right, of, bound)) == pytest.approx(1 - confidence, rel=1e-9)
    assert upper_bound(of - right, of, confidence) == pytest.approx(1 - float(bound))


@pytest.mark.parametrize(("mistakes", "pictures"), [(0, 149), (1, 236), (2, 313)])
def test_pictures_that_certify_98_percent(mistakes: int, pictures: int) -> None:
    assert needed(mistakes, 0.98, 0.95) == pictures
    assert lower_bound(pictures - mistakes, pictures, 0.95) >= 0.98
    assert lower_bound(pictures - 1 - mistakes, pictures - 1, 0.95) < 0.98


def test_none_right_and_all_right_bound_one_side_only() -> None:
    assert lower_bound(0, 5, 0.95) == 0
    assert upper_bound(5, 5, 0.95) == 1


@pytest.mark.parametrize(("right", "of", "confidence"), [(0, 0, 0.9), (3, 2, 0.9), (1, 2, 1.0)])
def test_impossible_counts_are_refused(right: int, of: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="received"):
        lower_bound(right, of, confidence)
