"""Measure how fast labelled rows are written and what each index costs.

    python -m benchmarks.catalogue_writes URL [--rows 102400] [--indexes]

URL is an empty database, or one filled by benchmarks.catalogue_rows to measure at that size. Rows
are written in batches of 256, as a worker does: new rows (as `label` stores unknown pictures), and
rows by the queue (added as pending, claimed, stored).

With --indexes each index is dropped and created six times, and rows are written with and without it
in turn. Its cost is the difference of the least processor times, the server's included if it runs
on this machine.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from benchmarks.catalogue_rows import LABELS, LEAVES, MODELS, SHOPS, zipf
from db.catalogue import Catalogue
from db.records import FileState, LabelFields, Outcome, PendingRow
from db.session import writing
from db.tables import catalogue as table

BATCH = 256
MODEL = MODELS[1]
ROUNDS = 6


@dataclass(frozen=True)
class Cost:
    """Rows written, wall-clock seconds, and processor seconds of this process and of the server."""

    rows: int
    seconds: float
    client: float
    server: float

    @property
    def busy(self) -> float:
        return self.client + self.server

    def __add__(self, other: Cost) -> Cost:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Cost(*(a + b for a, b in pairs))

    def description(self) -> str:
        server = f" + {self.server / self.rows * 1e6:.0f} of the server" if self.server else ""
        return (
            f"{self.rows / self.seconds:,.0f} rows/s by wall clock; "
            f"{self.client / self.rows * 1e6:.0f}{server} µs of CPU per row"
        )


class Stopwatch:
    """Times this process and its server process, if that runs on this machine."""

    def __init__(self, engine: Engine) -> None:
        self._server: psutil.Process | None = None
        if engine.dialect.name == "postgresql":
            with engine.connect() as connection:
                pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            if psutil.pid_exists(pid):
                self._server = psutil.Process(pid)

    def _server_seconds(self) -> float:
        if self._server is None:
            return 0.0
        times = self._server.cpu_times()
        return float(times.user + times.system)

    def timed(self, rows: int, work: Callable[[], object]) -> Cost:
        server, cpu, began = self._server_seconds(), time.process_time(), time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        return Cost(rows, seconds, time.process_time() - cpu, self._server_seconds() - server)


def batches(crawl: str, rows: int) -> Iterator[tuple[list[PendingRow], list[Outcome]]]:
    """Batches of rows, the same for the same crawl: its shops in turn, labels by Zipf's law."""
    chance = random.Random(crawl)
    best = np.random.default_rng(len(crawl)).choice(len(LEAVES), rows, p=zipf(len(LEAVES)))
    for start in range(0, rows, BATCH):
        numbers = range(start, min(start + BATCH, rows))
        outcomes = [_outcome(crawl, number, LEAVES[best[number]], chance) for number in numbers]
        yield (
            [
                PendingRow(o.path, o.size, o.mtime, shop=f"shop-{n * SHOPS // rows:03d}")
                for n, o in zip(numbers, outcomes, strict=True)
            ],
            outcomes,
        )


def _outcome(crawl: str, number: int, label: str, chance: random.Random) -> Outcome:
    category, gender, kind = label.split("/")
    sure = 1 - chance.random() ** 16 * 0.7
    fields = LabelFields(
        category, gender, kind, label, label, 0.99, 0.95, sure, sure, sure * 0.7, sure < 0.55
    )
    path = f"/data/{crawl}/shop-{number % SHOPS:03d}/product-{number // 4:08d}/{number:09d}.jpg"
    digest = f"{chance.getrandbits(128):032x}"
    return Outcome(path, "labelled", 31234, 1.7e9 + number, digest, fields=fields)


class WriteTimer:
    """Times writes of new crawls into a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue, self._watch = catalogue, Stopwatch(catalogue.engine)
        self._crawls = (f"written-{time.time_ns()}-{number}" for number in itertools.count())

    def fresh(self, rows: int) -> Cost:
        """Claim and store new rows, as `label` does: the claim adds them."""
        crawl, total = next(self._crawls), Cost(0, 0, 0, 0)

        def claim_and_store(outcomes: list[Outcome]) -> None:
            files = [FileState(o.path, o.size, o.mtime) for o in outcomes]
            self.catalogue.claim(crawl, files, "me", 300, MODEL)
            self._store(crawl, outcomes)

        for _, outcomes in batches(crawl, rows):
            total += self._watch.timed(len(outcomes), partial(claim_and_store, outcomes))
        return total

    def by_the_queue(self, rows: int) -> tuple[Cost, Cost, Cost]:
        """Add rows as pending, claim and store them; the cost of each step."""
        crawl, model = next(self._crawls), MODEL
        made = list(batches(crawl, rows))
        todo = (row for some, _ in made for row in some)
        add = self._watch.timed(
            rows, lambda: self.catalogue.add_pending(crawl, todo, model_version=model)
        )
        claim = store = Cost(0, 0, 0, 0)
        for _, outcomes in made:
            files = [FileState(o.path, o.size, o.mtime) for o in outcomes]
            claim += self._watch.timed(
                len(files),
                lambda: self.catalogue.claim(crawl, files, "me", 300, model),  # noqa: B023
            )
            store += self._watch.timed(len(files), lambda: self._store(crawl, outcomes))  # noqa: B023
        return add, claim, store

    def _store(self, crawl: str, outcomes: list[Outcome]) -> None:
        written = self.catalogue.store(crawl, "me", MODEL, outcomes)
        assert written == len(outcomes)


def sizes(engine: Engine) -> dict[str, int]:
    """Bytes of the table and of each of its indexes."""
    if engine.dialect.name == "postgresql":
        query = (
            "SELECT relname, pg_table_size(oid) FROM pg_class WHERE oid = 'catalogue'::regclass "
            "UNION ALL SELECT i.relname, pg_relation_size(i.oid) FROM pg_index "
            "JOIN pg_class i ON i.oid = indexrelid WHERE indrelid = 'catalogue'::regclass"
        )
    else:
        query = (
            "SELECT name, sum(pgsize) FROM dbstat WHERE aggregate = 1 AND name IN "
            "(SELECT name FROM sqlite_master WHERE tbl_name = 'catalogue') GROUP BY name"
        )
    with engine.connect() as connection:
        return {name: int(size) for name, size in connection.execute(sa.text(query))}


def checkpoint(engine: Engine) -> None:
    """Checkpoint the write-ahead log, so that a measurement does not pay for earlier writes."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            raw = connection.connection.driver_connection
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # type: ignore[union-attr]
            return
        outside = connection.execution_options(isolation_level="AUTOCOMMIT")
        outside.execute(sa.text("CHECKPOINT"))


def index_costs(writes: WriteTimer, rows: int) -> None:
    """Print the cost of each index: rows by the queue with and without it, the least of each."""
    engine, each = writes.catalogue.engine, rows // ROUNDS
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        with_it, without = [], []
        for _ in range(ROUNDS):
            checkpoint(engine)
            with_it.append(sum(writes.by_the_queue(each), Cost(0, 0, 0, 0)).busy)
            with writing(engine) as connection:
                index.drop(connection)
            try:
                checkpoint(engine)
                without.append(sum(writes.by_the_queue(each), Cost(0, 0, 0, 0)).busy)
            finally:
                with writing(engine) as connection:
                    index.create(connection)
        more = (min(with_it) - min(without)) / each * 1e6
        print(f"{index.name:<30} {more:+6.1f} µs per row, {min(with_it) / min(without) - 1:+6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=102_400)
    parser.add_argument("--indexes", action="store_true")
    parser.add_argument(
        "--sizes", action="store_true", help="also print bytes per row of table and indexes"
    )
    options = parser.parse_args()
    catalogue = Catalogue.open(options.url)
    for model in MODELS:
        catalogue.register_model(model, LABELS)
    writes = WriteTimer(catalogue)
    if options.indexes:
        index_costs(writes, options.rows)
        return
    print(f"new rows: {writes.fresh(options.rows).description()}")
    parts = writes.by_the_queue(options.rows)
    for name, part in zip(("added as pending", "claimed", "stored"), parts, strict=True):
        print(f"{name}: {part.description()}")
    print(f"by the queue: {sum(c.busy for c in parts) / options.rows * 1e6:.0f} µs of CPU per row")
    if options.sizes:
        with catalogue.engine.connect() as connection:
            rows = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        found = sizes(catalogue.engine)
        print(f"{rows:,} rows: {sum(found.values()) / rows:.0f} bytes per row, of which")
        for name, size in sorted(found.items(), key=lambda item: -item[1]):
            print(f"{name:<34} {size / rows:6.1f}")


if __name__ == "__main__":
    main()
