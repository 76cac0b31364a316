"""What `train` says in its last lines about a bundle that is cut short or near chance."""

from __future__ import annotations

from typing import Any

import pytest

from cascade.evaluation.doubts import doubts


def told(right: int, epochs_done: int, **settings: Any) -> list[str]:
    training = {
        "settings": {"epochs": 12, "settle": 3, "limit_minutes": 5.0, "patience": None, **settings},
        "networks": 1,
        "epochs_done": epochs_done,
        "pictures": {"toys/ball": 30, "toys/car": 10, "none": 100},
    }
    figures = {"validation": {"rates": {"leaf, in scope": {"right": right, "count": 20}}}}
    return doubts(training, figures, "none")


@pytest.mark.parametrize(
    ("right", "epochs_done", "settings", "says"),
    [
        (20, 15, {}, []),
        (20, 4, {}, ["cut the training short: 4 of 15 epochs"]),
        (20, 4, {"limit_minutes": None}, []),
        (20, 4, {"patience": 2}, []),  # it stopped by itself
        (15, 15, {}, ["near chance: 15 of 20"]),
        (10, 2, {}, ["2 of 15 epochs", "most frequent label alone would get 75 %"]),
    ],
)
def test_doubts(right: int, epochs_done: int, settings: dict[str, Any], says: list[str]) -> None:
    found = told(right, epochs_done, **settings)
    assert len(found) == len(says)
    assert all(part in line for part, line in zip(says, found, strict=True))


def test_a_bundle_without_validation_pictures_is_not_judged() -> None:
    training = {
        "settings": {"epochs": 1, "settle": 0, "limit_minutes": None, "patience": None},
        "networks": 1,
        "epochs_done": 1,
        "pictures": {},
    }
    assert doubts(training, {}, None) == []
