"""Decisions side by side: their columns cover K without gaps, and a slice starts at 0 again."""

from __future__ import annotations

import pytest

from cascade.decisions import Decision, DecisionSet
from cascade.taxonomy import Taxonomy

DECISIONS = Taxonomy.load().decisions()


def test_columns_lie_side_by_side_in_order() -> None:
    assert DECISIONS.columns == (slice(0, 4), slice(4, 6), slice(6, 10), slice(10, 21))
    assert DECISIONS.width == len(DECISIONS.outcomes) == 21
    for decision, columns in DECISIONS.with_columns():
        assert DECISIONS.outcomes[columns] == decision.outcomes
        assert DECISIONS.columns_of(decision) == columns


def test_a_slice_of_a_set_has_columns_from_0() -> None:
    part = DECISIONS[1:3]
    assert isinstance(part, DecisionSet)
    assert part.columns == (slice(0, 2), slice(2, 6))
    assert part[0] == DECISIONS[1]


def test_no_decisions_have_no_columns() -> None:
    assert DecisionSet().columns == ()
    assert DecisionSet().width == 0


def test_a_decision_of_another_tree_has_no_columns() -> None:
    with pytest.raises(ValueError, match="pets"):
        DECISIONS.columns_of(Decision("pets", ("pets/cat", "pets/dog")))
