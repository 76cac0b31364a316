"""Durations as people write them."""

from __future__ import annotations

import pytest

from worker.configuration.types import duration_seconds
from worker.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "expected"), [("30s", 30), ("10m", 600), ("2h", 7200), ("1.5m", 90), ("1d", 86400)]
)
def test_durations_have_units(text: str, expected: float) -> None:
    assert duration_seconds(text) == expected


@pytest.mark.parametrize("text", ["", "-1s", "ten", "5 weeks", "1h30m"])
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected a duration such as"):
        duration_seconds(text)
