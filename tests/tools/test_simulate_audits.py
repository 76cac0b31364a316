"""A few simulated audits: certificates keep their promise. `tools.simulate_audits` runs all."""

from __future__ import annotations

import numpy as np
import pytest

from tools.simulate_audits import crawls, simulated

AUDITS = 60
MOST_FALSE = 9  # of 60, if 5 % are false: more with a probability of 0.1 %


@pytest.mark.parametrize("stratified", [False, True])
def test_false_certificates_are_rare(stratified: bool) -> None:
    source = np.random.default_rng(7)
    hard, _, _, _, _, shop, home = crawls(3)
    assert hard.precision_from(0.0) < 0.98
    found = simulated(hard, AUDITS, source, stratified=stratified)
    assert found.false == found.certified <= MOST_FALSE
    assert simulated(shop, 3, source, stratified=stratified).certified == 0
    easy = simulated(home, 10, source, stratified=stratified)
    assert easy.certified >= 5 and easy.false == 0
