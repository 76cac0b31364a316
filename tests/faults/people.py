"""What people do while faults strike: commands, and messages that are published once more.

What a server in trouble refuses is done again when it is healed.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.world import CRAWL, World

Heal = Callable[[], None]
OTHER_MODEL = "constant:shoes/male/formal"
# pictures are apart by what happens to them, so that each has one right end
REPLACED, CORRECTED, FORGOTTEN = 0, 1, 2


def _insist(world: World, *steps: Callable[[], bool]) -> Heal:
    """Do each step until it succeeds: now, or when the faults of this moment are healed."""
    left = list(steps)

    def work() -> None:
        while left and left[0]():
            left.pop(0)

    def finish() -> None:
        for _ in range(5):
            work()
            if not left:
                return
            time.sleep(1.0)
        world.violate(f"a command fails after its servers were healed: {world.last_refusal}")

    work()
    return finish


def _command(world: World, *arguments: object, codes: tuple[int, ...] = (0,)) -> Callable[[], bool]:
    return lambda: world.run(*arguments, codes=codes) is not None


def fault_duplicates(world: World, rng: random.Random) -> Heal:
    """A storm: every message once more."""
    return _insist(world, lambda: world.publish_again(world.messages))


def fault_late_messages(world: World, rng: random.Random) -> Heal:
    """Some messages of the beginning come again."""
    late = rng.sample(world.messages, min(3, len(world.messages)))
    return _insist(world, lambda: world.publish_again(late))


def fault_enqueue_again(world: World, rng: random.Random) -> Heal:
    return _insist(world, _command(world, "enqueue", world.pictures, "--crawl", CRAWL))


def fault_cancel_and_enqueue(world: World, rng: random.Random) -> Heal:
    return _insist(
        world,
        _command(world, "cancel", "--crawl", CRAWL),
        _command(world, "enqueue", world.pictures, "--crawl", CRAWL),
    )


def fault_requeue(world: World, rng: random.Random) -> Heal:
    return _insist(world, _command(world, "requeue", "--stale", "0s", "--lost"))


def _chosen(world: World, part: int, rng: random.Random) -> list[str]:
    """A few of the paths of a part that nothing else happens to."""
    paths = [path for at, path in enumerate(sorted(world.undisturbed_paths())) if at % 6 == part]
    return rng.sample(paths, min(3, len(paths)))


def fault_replace_file(world: World, rng: random.Random) -> Heal:
    """Files get other pictures under their names, and are enqueued."""
    donors = sorted(world.undisturbed.labels)
    for path in _chosen(world, REPLACED, rng):
        donor = rng.choice(donors)
        new = Path(path).with_suffix(".new")
        shutil.copyfile(world.undisturbed.folder / donor, new)
        time_now = time.time() + rng.uniform(1, 1000)
        os.utime(new, (time_now, time_now))  # seen to be another file, whatever the clock's grain
        new.replace(path)
        world.expected[path] = world.undisturbed.labels[donor]
    return _insist(world, _command(world, "enqueue", world.pictures, "--crawl", CRAWL))


def fault_forget(world: World, rng: random.Random) -> Heal:
    """A take-down: the file goes, and its row."""
    steps = []
    for path in _chosen(world, FORGOTTEN, rng):
        if path in world.forgotten:
            continue
        Path(path).unlink()
        world.forgotten.add(path)
        world.expected.pop(path)
        # 1: forgotten, and a transaction that is open can still read it
        steps.append(_command(world, "forget", "--path", path, "--yes", codes=(0, 1)))
    return _insist(world, *steps)


def fault_review_apply(world: World, rng: random.Random) -> Heal:
    """A person corrects some rows that are labelled."""
    wanted = set(_chosen(world, CORRECTED, rng))
    leaves = sorted({label for label in world.undisturbed.labels.values() if "/" in label})
    sheet = world.folder / f"sheet-{rng.randrange(10**9)}.csv"

    def apply() -> bool:
        # `label_is` is what `review sheet` shows: a person's label, else the model's
        rows = world.ask("SELECT * FROM catalogue WHERE status = 'labelled'")
        if rows is None:
            return False
        lines: list[dict[str, Any]] = []
        for row in rows:
            if row.path in wanted:
                shown = row.label
                right = rng.choice([leaf for leaf in leaves if leaf != shown])
                lines.append(
                    {"id": row.id, "path": row.path, "label": shown, "correct_label": right}
                )
        if not lines:
            return True
        with sheet.open("w", newline="") as file:
            writer = csv.DictWriter(file, ("id", "path", "label", "correct_label"))
            writer.writeheader()
            writer.writerows(lines)
        if world.run("review", "apply", sheet, "--by", "mara") is None:
            return False
        world.corrected |= {line["path"]: line["correct_label"] for line in lines}
        return True

    return _insist(world, apply)


def fault_models_use(world: World, rng: random.Random) -> Heal:
    """Another model labels what is labelled so far; then the first one's labels count again."""
    own = world.own_version()
    if own is None:
        return lambda: None
    relabel = ("relabel", "--model", OTHER_MODEL, "--crawl", CRAWL, "--all")
    return _insist(
        world,
        _command(world, *relabel, codes=(0, 1)),
        _command(world, "models", "use", own),
    )
