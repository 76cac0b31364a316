"""What must hold when a schedule is healed and its queue is empty, by plain SQL."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from tests.faults.world import CRAWL, World

# errors whose trace Celery, kombu or billiard print while a server is in trouble: the last line
KNOWN_TRACES = (
    r"^(redis|kombu|amqp)\.exceptions\.",
    r"^(ConnectionError|ConnectionResetError|BrokenPipeError|OSError|TimeoutError)\b",
    r"^billiard\.(exceptions|einfo)\.",
    r"^worker\.queue\.transport\.BrokerRefuses",  # as a lost connection
    r"^celery\.exceptions\.WorkerTerminate",  # a stop whose acknowledgements met a lost connection
)


def check(world: World) -> None:
    """Add to `world.violations` whatever is not as it must be."""
    _rows(world)
    _counters(world)
    for log in sorted(world.folder.glob("worker-*.log")):
        for trace, times in unknown_traces(log).items():
            world.violate(f"traceback in a worker's log: {trace} ({times} times)")


def check_counters(world: World) -> None:
    """At any moment, in one snapshot: the counters agree with the rows."""
    query = (
        "SELECT (SELECT count(*) FROM catalogue), "
        "(SELECT coalesce(sum(rows), 0) FROM catalogue_summary)"
    )
    found = world.ask(query)
    if found and found[0][0] != found[0][1]:
        world.violate(f"{found[0][0]} rows, {found[0][1]} counted, in the middle of the work")


def _rows(world: World) -> None:
    rows = world.ask("SELECT * FROM catalogue")
    if rows is None:
        world.violate("the catalogue cannot be read")
        return
    paths = Counter(row.path for row in rows)
    for path, times in paths.items():
        if times > 1:
            world.violate(f"{name(path)} has {times} rows")
        if path in world.forgotten:
            world.violate(f"{name(path)} was forgotten and is back")
        elif path not in world.expected:
            world.violate(f"{name(path)} has a row and was never enqueued")
    for path in world.expected.keys() - paths.keys():
        world.violate(f"{name(path)} has no row")
    for row in rows:
        if row.path not in world.expected:
            continue
        if row.status != "labelled":
            world.violate(f"{name(row.path)} is {row.status} ({row.reason}), expected labelled")
            continue
        if row.claimed_by is not None:
            world.violate(f"{name(row.path)} is labelled and leased")
        said = getattr(row, "model_label", row.label)
        if said != world.expected[row.path]:
            expected = world.expected[row.path]
            world.violate(f"{name(row.path)} is labelled {said}, expected {expected}")
        if row.human_label != world.corrected.get(row.path):
            expected = str(world.corrected.get(row.path))
            world.violate(
                f"{name(row.path)} is corrected to {row.human_label}, expected {expected}"
            )


def _counters(world: World) -> None:
    out = world.run("status", "--no-queue", "--crawl", CRAWL, "--format", "jsonl")
    if out is None:
        world.violate("status failed after the end")
        return
    (crawl,) = json.loads(out)["crawls"]
    parts = ("labelled", "rejected", "quarantined", "cancelled", "pending")
    if crawl["enqueued"] != sum(crawl[part] for part in parts):
        world.violate(f"status does not add up: {crawl}")
    if crawl["enqueued"] != len(world.expected):
        world.violate(f"status counts {crawl['enqueued']}, expected {len(world.expected)}")
    if world.run("db", "check") is None:
        world.violate("db check found a fault")


def name(path: str) -> str:
    return Path(path).name


def unknown_traces(log: Path) -> Counter[str]:
    """The last lines of the tracebacks in a log, those of servers in trouble left out."""
    found: Counter[str] = Counter()
    inside = False
    for line in log.read_text(errors="replace").splitlines():
        if "Traceback (most recent call last)" in line:
            inside = True
        elif inside and line and not line.startswith((" ", "\t", '"""', "'''")):
            inside = False
            if not any(re.search(known, line) for known in KNOWN_TRACES):
                found[line[:160]] += 1
    return found
