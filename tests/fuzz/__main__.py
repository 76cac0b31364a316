"""Fuzz every reader of pictures and texts: ``python -m tests.fuzz --minutes 10``.

``--target png --case 123`` runs one case again, with its trace. Inputs with a finding are kept in
``runs/fuzz``. Exit code 1: there was a finding.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.fuzz import targets
from tests.fuzz.runner import Tally, fuzz

# a picture costs a tenth of a command, so each turn has more of them
TURN = (*targets.PICTURES * 6, *targets.TARGETS)
APART = 10_000_000  # cases between the first ones of two jobs


def again(target: str, case: int) -> None:
    """Run one case in this process."""
    data, part = targets.made(target, case)
    print(f"{target}, case {case}, {part or 'whole file'}: {len(data)} bytes, {data[:300]!r}")
    with tempfile.TemporaryDirectory() as folder:
        targets.read(target, data, part, Path(folder))
    print("read, or refused as documented")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--first", type=int, help="the first case; left out: from the clock")
    parser.add_argument("--target", choices=targets.TARGETS, action="append")
    parser.add_argument("--case", type=int)
    parser.add_argument("--reproducers", type=Path, default=Path("runs/fuzz"))
    given = parser.parse_args()
    if given.case is not None:
        return again(given.target[0], given.case)
    first = int(time.time()) % APART * 1000 if given.first is None else given.first
    turn = tuple(given.target) if given.target else TURN
    tallies = [Tally() for _ in range(given.jobs)]
    began = time.monotonic()
    threads = [
        threading.Thread(
            target=fuzz,
            args=(turn, tally),
            kwargs={
                "first": first + job * APART,
                "seconds": given.minutes * 60,
                "reproducers": given.reproducers,
            },
        )
        for job, tally in enumerate(tallies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(report(tallies, first, time.monotonic() - began))


def report(tallies: list[Tally], first: int, seconds: float) -> bool:
    """Print inputs by target and the findings; whether there was one."""
    print(f"first case {first}, {seconds:.0f} s\n\n| target | inputs | findings |\n|---|---|---|")
    found = {key: one for tally in tallies for key, one in tally.found.items()}
    for target in targets.TARGETS:
        inputs = sum(tally.inputs.get(target, 0) for tally in tallies)
        kinds = sum(key[0] == target for key in found)
        print(f"| {target} | {inputs} | {kinds} |")
    total = sum(sum(tally.inputs.values()) for tally in tallies)
    print(f"| all | {total} | {len(found)} |\n")
    for (target, what), one in sorted(found.items()):
        print(f"{target}: {what} (case {one.case}, {one.times} times or more)")
    return bool(found)


if __name__ == "__main__":
    main()
