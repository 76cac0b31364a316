"""From a seed to a schedule: which faults strike a crawl, at which progress, for how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.faults.proxy import MODES

PROCESSES = ("kill_child", "kill_worker", "sigterm", "stop_child", "stop_worker")
BROKER = (
    *(f"broker_{mode}" for mode in MODES),
    *("broker_restart", "broker_readonly", "broker_full", "broker_misconf"),
)
DATABASE = (
    *(f"database_{mode}" for mode in MODES),
    *("database_terminate", "database_lock", "database_readonly"),
    *("database_statement_timeout", "database_restart"),
)
SURROUNDINGS = ("clock", "root_away")
# what people do meanwhile; each is a command, or a message that is published once more
PEOPLE = (
    *("duplicates", "late_messages", "enqueue_again", "replace_file", "cancel_and_enqueue"),
    *("forget", "review_apply", "models_use", "requeue"),
)
FAULTS = (*PROCESSES, *BROKER, *DATABASE, *SURROUNDINGS, *PEOPLE)


@dataclass(frozen=True)
class Moment:
    """Faults that strike together when the share `at` of the pictures is finished.

    They are healed after `hold` seconds. `number` chooses: which worker, which pictures, how far
    the clock steps.
    """

    at: float
    faults: tuple[str, ...]
    hold: float
    number: int


@dataclass(frozen=True)
class Schedule:
    """All that a seed decides."""

    seed: int
    workers: int
    processes: int  # of each worker
    moments: tuple[Moment, ...]


def schedule(seed: int, faults: tuple[str, ...] = FAULTS, moments: int = 0) -> Schedule:
    """The schedule of a seed: the same on every machine.

    Args:
        seed: what it is made from.
        faults: those to choose from.
        moments: how many; 0: three to five.
    """
    rng = random.Random(f"schedule {seed}")
    number = moments or rng.randint(3, 5)
    shares = sorted(rng.uniform(0.02, 0.85) for _ in range(number))
    workers, processes = rng.choice(((2, 1), (1, 2)))
    made = [
        Moment(round(at, 3), _together(rng, faults), _hold(rng), rng.randrange(1_000_000))
        for at in shares
    ]
    return Schedule(seed, workers, processes, tuple(made))


def _together(rng: random.Random, faults: tuple[str, ...]) -> tuple[str, ...]:
    """One fault, or two at once in a third of the cases."""
    first = rng.choice(faults)
    rest = [fault for fault in faults if not _exclude_each_other(first, fault)]
    if not rest or rng.random() > 1 / 3:
        return (first,)
    return (first, rng.choice(rest))


def _exclude_each_other(one: str, other: str) -> bool:
    """Whether two faults at once would say nothing: the same place, or a command with no folder."""
    place = one.partition("_")[0]
    if place in ("broker", "database") and other.startswith(place):
        return True
    return one == other or ({one, other} - {*PEOPLE} == {"root_away"})


def _hold(rng: random.Random) -> float:
    """Mostly short; now and then longer than leases and the visibility timeout."""
    return round(rng.choice((rng.uniform(0.2, 2.0), rng.uniform(2.0, 6.0), 13.0)), 1)
