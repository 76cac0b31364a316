"""Decisions of a cascade, and where each one's outcomes are among a network's logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, SupportsIndex, TypeGuard, overload


@dataclass(frozen=True)
class Decision:
    """One question to a network: which of ``outcomes`` (paths) below ``node`` (a path)?"""

    node: str
    outcomes: tuple[str, ...]


class DecisionSet(tuple[Decision, ...]):
    """Decisions whose outcomes are the K columns of one array, side by side and in order.

    Logits, probabilities and targets are all ``(N, K)`` arrays of this layout. A slice of a set is
    a set with its own columns, which start at 0.
    """

    @cached_property
    def columns(self) -> tuple[slice, ...]:
        """The columns of each decision."""
        found: list[slice] = []
        for decision in self:
            start = found[-1].stop if found else 0
            found.append(slice(start, start + len(decision.outcomes)))
        return tuple(found)

    @cached_property
    def outcomes(self) -> tuple[str, ...]:
        """The outcome of each column."""
        return tuple(outcome for decision in self for outcome in decision.outcomes)

    @property
    def width(self) -> int:
        """K, the number of columns."""
        return len(self.outcomes)

    def with_columns(self) -> Iterator[tuple[Decision, slice]]:
        """Each decision with its columns."""
        return zip(self, self.columns, strict=True)

    def columns_of(self, decision: Decision) -> slice:
        """The columns of one decision. Raises ``ValueError`` if it is not in the set."""
        if decision not in self:
            raise ValueError(f"the decision over {decision.node!r} is not part of this cascade")
        return self.columns[self.index(decision)]

    @overload
    def __getitem__(self, key: SupportsIndex) -> Decision: ...
    @overload
    def __getitem__(self, key: slice) -> DecisionSet: ...
    def __getitem__(self, key: SupportsIndex | slice) -> Decision | DecisionSet:
        found = super().__getitem__(key)
        return found if isinstance(found, Decision) else DecisionSet(found)


def are_decision_entries(entries: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether these are the entries of a decisions.json: node, outcomes, and a network's number.

    There are at most as many networks as decisions.
    """
    return (
        isinstance(entries, list)
        and len(entries) > 0
        and all(
            isinstance(entry, dict)
            and isinstance(entry.get("node"), str)
            and isinstance(entry.get("outcomes"), list)
            and all(isinstance(outcome, str) for outcome in entry["outcomes"])
            and type(entry.get("network")) is int
            and 0 <= entry["network"] < len(entries)
            for entry in entries
        )
    )
