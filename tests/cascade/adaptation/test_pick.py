"""Which pictures people should look at, on synthetic features."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.adaptation.pick import entropy, pick


def crowd(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """90 sure pictures of three kinds and 30 doubtful ones of six others, five of each."""
    random = np.random.default_rng(seed)
    kinds = np.concatenate([np.repeat(np.arange(3), 30), np.repeat(np.arange(3, 9), 5)])
    values = np.eye(9)[kinds] * 10 + random.normal(0, 0.1, (120, 9))
    return values, np.where(kinds < 3, 0.01, 1.0)


def test_doubtful_pictures_of_every_kind_are_chosen() -> None:
    values, doubt = crowd()
    apart = [f"{n}" for n in range(120)]
    rows = [each.row for each in pick(values, doubt, apart, 9, random_share=0)]
    assert len(set(rows)) == 9
    assert {int(values[row].argmax()) for row in rows} == set(range(9))
    few = pick(values, doubt, apart, 6, random_share=0)
    doubtful = {int(values[each.row].argmax()) for each in few} & set(range(3, 9))
    assert len(doubtful) >= 5


def test_one_of_a_group_and_none_of_the_random_ones() -> None:
    values, doubt = crowd()
    groups = [f"{n // 4}" for n in range(120)]
    found = pick(values, doubt, groups, 40)
    assert sum(each.at_random for each in found) == 10
    assert len({each.row for each in found}) == len(found)
    drawn = {groups[each.row] for each in found if each.at_random}
    chosen = [groups[each.row] for each in found if not each.at_random]
    assert len(set(chosen)) == len(chosen)
    assert not drawn & set(chosen)


def test_the_random_share_is_a_fair_draw() -> None:
    """Each picture is drawn equally often, doubtful or not, whatever its group."""
    values, doubt = crowd()
    counts = np.zeros(120)
    for seed in range(300):
        for each in pick(values, doubt, ["same"] * 120, 12, random_share=1.0, seed=seed):
            assert each.at_random
            counts[each.row] += 1
    assert counts.sum() == 3600
    # 30 expected of each; the doubtful fourth gets its fourth
    assert abs(counts[90:].sum() / counts.sum() - 0.25) < 0.03


@pytest.mark.parametrize("limit", [1, 5, 200])
def test_few_pictures_are_no_trouble(limit: int) -> None:
    values = np.zeros((5, 4), np.float32)  # all the same
    found = pick(values, np.zeros(5), list("abcde"), limit)
    assert len(found) == len({each.row for each in found}) == min(5, limit)
    assert pick(np.zeros((0, 4)), np.zeros(0), [], limit) == []
    assert found == pick(values, np.zeros(5), list("abcde"), limit)


def test_entropy_is_greatest_for_equal_shares() -> None:
    found = entropy(np.array([[0.25] * 4, [1.0, 0, 0, 0]]))
    np.testing.assert_allclose(found, [np.log(4), 0], atol=1e-9)
