"""Says what is doubtful about a training, before anybody relies on its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cascade.evaluation.metrics import wilson_interval

LEAF = "leaf, in scope"


def doubts(
    training: Mapping[str, Any], figures: Mapping[str, Any], outside: str | None
) -> list[str]:
    """Sentences about a bundle that was cut short or is near chance; none if all is well.

    Args:
        training: The entry ``training`` of the bundle's manifest.
        figures: The entry ``figures``.
        outside: The leaf that is out of scope, if there is one.
    """
    found, settings = [], training["settings"]
    planned = training["networks"] * (settings["epochs"] + settings["settle"])
    limited = settings["limit_minutes"] is not None and settings["patience"] is None
    if limited and training["epochs_done"] < planned:
        found.append(
            f"The time limit cut the training short: {training['epochs_done']} of {planned} "
            "epochs. It was probably still improving: allow it more minutes."
        )
    rate = figures.get("validation", {}).get("rates", {}).get(LEAF)
    counts = {name: n for name, n in training["pictures"].items() if name != outside}
    if rate and rate["count"] and counts:
        guess = max(counts.values()) / sum(counts.values())
        if wilson_interval(rate["right"], rate["count"])[0] <= guess:
            found.append(
                f"It is near chance: {rate['right']} of {rate['count']} leaves of validation are "
                f"right, and the most frequent label alone would get {100 * guess:.0f} %. Do not "
                "use it: add pictures, or train longer."
            )
    return found
