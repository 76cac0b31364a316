"""A campaign of randomised fault schedules on real servers, each from a recorded seed.

``python -m tests.faults.campaign --schedules 100 --pictures 160 --jobs 2``

``--seed N`` runs one schedule again. The report has one JSON line a schedule, with the commit that
ran; a table of recovery times by fault is printed in the end. ``--resume`` goes on with the report
of a campaign that was stopped. Exit code 1: something that is promised did not hold.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults import invariants, kinds
from tests.faults.schedule import FAULTS, PEOPLE, Moment, Schedule, schedule
from tests.faults.world import PATIENCE_SECONDS, World
from tests.servers import DURABLE, PostgresServer, postgres_server
from tests.worker.crawls import Crawl

ROOT = Path(__file__).parents[2]
# small networks with three kinds of runtime, trained on drawings; they load in no time
MODEL = str(ROOT / "tests" / "compatibility" / "data" / "v0.1" / "bundle")
TALLY = threading.Lock()
ALIVE: set[World] = set()  # worlds with processes of their own
SERVERS: list[PostgresServer] = []


def undisturbed(folder: Path, pictures: int, model: str) -> Crawl:
    """Drawings, with the label that one process on SQLite gives each."""
    from cascade.drawings import LEAVES, write_sample_crawl
    from tests.redis_server import RedisServer
    from tests.worker.queues import Queue

    plain = Queue(folder, RedisServer(folder), f"sqlite:///{folder / 'catalogue.db'}", model)
    per_leaf = math.ceil(pictures / len(LEAVES))
    paths = sorted(write_sample_crawl(plain.pictures, per_leaf, 5, junk=False))
    for path in paths[pictures:]:
        path.unlink()
    out = plain.run("label", plain.pictures, "--format", "jsonl")
    labels = {Path(row["path"]).name: row["label"] for row in map(json.loads, out.splitlines())}
    assert len(labels) == pictures
    assert len(set(labels.values())) > 3  # else equal labels would say nothing
    return Crawl(plain.pictures, labels)


def run_schedule(
    plan: Schedule, folder: Path, postgres: PostgresServer, crawl: Crawl, pictures: int, model: str
) -> dict[str, Any]:
    """Run one schedule; its line of the report."""
    began = working = time.monotonic()
    folder.mkdir(parents=True)
    world = World(folder, postgres, model, crawl, plan.processes)
    ALIVE.add(world)
    moments: list[dict[str, Any]] = []
    try:
        world.fill(pictures)
        for number in range(plan.workers):
            world.start_worker(f"worker-{number}")
        world.wait(lambda: bool(world.finished()))
        working = time.monotonic()
        for moment in plan.moments:
            moments.append(play(world, moment, pictures))
        if not finish(world):
            world.violate(f"stuck: {picture_of(world)}")
        world.stop_workers()
        invariants.check(world)
    except Exception as error:  # noqa: BLE001 - one schedule that breaks the harness is reported
        world.violate(f"the harness failed: {type(error).__name__}: {error}")
    finally:
        world.close()
        ALIVE.discard(world)
    return {
        "seed": plan.seed,
        "pictures": pictures,
        "workers": f"{plan.workers} x {plan.processes}",
        "moments": moments,
        "seconds": round(time.monotonic() - began, 1),
        "working_seconds": round(time.monotonic() - working, 1),
        "restarts": sum(len(worker.lives) - 1 for worker in world.workers),
        "remedies": world.remedies,
        "violations": world.violations,
    }


def play(world: World, moment: Moment, pictures: int) -> dict[str, Any]:
    """Wait for the progress that a moment waits for, strike, hold, heal, measure the recovery."""
    wanted = min(moment.at * pictures, len(world.expected))
    if not world.wait(lambda: (world.finished() or 0) >= wanted or world.is_done()):
        remedy(world, f"before {moment.faults}")
    # servers are healed before what people could not do meanwhile is done
    faults = sorted(moment.faults, key=lambda fault: fault in PEOPLE)
    heals = [kinds.strike(world, fault, moment.number) for fault in faults]
    world.hold(moment.hold)
    invariants.check_counters(world)
    for heal in heals:
        heal()
    healed, before, seconds = time.monotonic(), world.finished() or 0, None
    if before < len(world.expected):
        if world.wait(lambda: (world.finished() or 0) != before or world.is_done()):
            seconds = round(time.monotonic() - healed, 1)
        else:
            remedy(world, f"after {moment.faults}")
    return {
        "at": moment.at,
        "faults": moment.faults,
        "hold": moment.hold,
        "recovery_seconds": seconds,
    }


def finish(world: World) -> bool:
    """Wait until nothing is left; what had to be done for that by hand is a remedy."""
    if world.wait(world.is_done):
        return True
    remedy(world, "after all was healed")
    return world.wait(world.is_done)


def remedy(world: World, when: str) -> None:
    """What an operator does with a pool that is stuck: requeue, and restart the workers."""
    world.violate(f"stuck {when}: {picture_of(world)}")
    world.remedies.append(f"requeue and restart {when}")
    for worker in world.workers:
        worker.life.told_to_end = True
        worker.life.process.kill()
    world.supervise()
    world.run("requeue", "--stale", "0s", "--lost")


def picture_of(world: World) -> str:
    """How the queue stands, in a line."""
    counted = world.ask(
        "SELECT status, count(*), count(claimed_by) FROM catalogue GROUP BY status ORDER BY 1"
    )
    rows = ", ".join(f"{status} {n} ({held} leased)" for status, n, held in counted or ())
    alive = [worker.life.process.poll() is None for worker in world.workers]
    return f"{rows}; messages (waiting, taken) {world.messages_left()}; workers alive {alive}"


def campaign(
    plans: Iterable[Schedule],
    pictures: int,
    jobs: int,
    report: Path,
    *,
    model: str = MODEL,
    keep: Path | None = None,
) -> list[dict[str, Any]]:
    """Run schedules, `jobs` at a time, each job with a PostgreSQL of its own."""
    lines: list[dict[str, Any]] = []
    commit = commit_of(ROOT)
    report.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="fashion-faults-"))
        folder = keep or Path(temporary)
        # the servers run as another user where the tests run as root
        crawl = undisturbed(folder / "undisturbed", pictures, model)
        servers: queue.Queue[PostgresServer] = queue.Queue()
        for _ in range(jobs):
            SERVERS.append(stack.enter_context(postgres_server(DURABLE)))
            servers.put(SERVERS[-1])

        def one(plan: Schedule) -> None:
            server = servers.get()
            try:
                line = run_schedule(plan, folder / str(plan.seed), server, crawl, pictures, model)
            finally:
                servers.put(server)
            line["commit"] = commit
            with TALLY, report.open("a") as file:
                lines.append(line)
                file.write(json.dumps(line) + "\n")
                said = "; ".join(line["violations"][:3]) or "all held"
                struck = ", ".join("+".join(moment["faults"]) for moment in line["moments"])
                print(f"seed {plan.seed}: {line['seconds']} s, {struck}: {said}", flush=True)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, plans))
    return lines


def commit_of(folder: Path) -> str:
    """The commit of a checkout, with a plus sign if files differ from it."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=12", "--exclude=*"]
    said = subprocess.run(
        [*command, "--dirty=+"], capture_output=True, text=True, check=False
    ).stdout
    return said.strip() or "unknown"


def lines_of(report: Path) -> list[dict[str, Any]]:
    """The schedules in a report."""
    if not report.exists():
        return []
    return [json.loads(line) for line in report.read_text().splitlines()]


def table(lines: list[dict[str, Any]]) -> str:
    """Recovery by fault, in seconds after it was healed: number, median, 90 %, longest."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    struck: Counter[str] = Counter()
    for line in lines:
        for moment in line["moments"]:
            for fault in moment["faults"]:
                struck[fault] += 1
                if moment["recovery_seconds"] is not None:
                    found[fault].append(moment["recovery_seconds"])
    rows = ["| fault | times | recovery: median s | 90 % | longest |", "|---|---|---|---|---|"]
    for fault in sorted(struck):
        times = sorted(found[fault])
        shown = ("", "", "")
        if times:
            high = times[min(len(times) - 1, math.ceil(0.9 * len(times)) - 1)]
            shown = (f"{statistics.median(times):.1f}", f"{high:.1f}", f"{times[-1]:.1f}")
        rows.append(f"| {fault} | {struck[fault]} | {' | '.join(shown)} |")
    bad = [line for line in lines if line["violations"]]
    pictures = sum(line["pictures"] for line in lines)
    rows += [
        "",
        f"{len(lines)} schedules, {sum(struck.values())} faults, {pictures} pictures: "
        f"{len(bad)} schedules with violations"
        + (f", seeds {sorted(line['seed'] for line in bad)}" if bad else ""),
    ]
    return "\n".join(rows)


def give_up(number: int, _frame: object) -> None:
    """Stopped: end every process that was started here."""
    for world in list(ALIVE):
        world.close()
    for server in SERVERS:
        server.stop()
    os._exit(128 + number)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, give_up)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=100)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, action="append", help="only this one")
    parser.add_argument("--pictures", type=int, default=160)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="choose from these faults, with commas between them")
    parser.add_argument("--report", type=Path, default=Path("runs/faults.jsonl"))
    parser.add_argument("--keep", type=Path, help="an empty folder; logs stay there")
    parser.add_argument("--resume", action="store_true", help="skip seeds that the report has")
    given = parser.parse_args()
    seeds = given.seed or range(given.first, given.first + given.schedules)
    faults = tuple(given.only.split(",")) if given.only else FAULTS
    print(f"patience {PATIENCE_SECONDS:.0f} s, {given.pictures} pictures a schedule", flush=True)
    lines = lines_of(given.report) if given.resume else []
    done = {line["seed"] for line in lines}
    plans = [schedule(seed, faults) for seed in seeds if seed not in done]
    if plans:
        lines += campaign(plans, given.pictures, given.jobs, given.report, keep=given.keep)
    print(table(lines))
    sys.exit(any(line["violations"] for line in lines))


if __name__ == "__main__":
    main()
