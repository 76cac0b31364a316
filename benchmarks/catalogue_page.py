"""Time what the page of `serve` asks for on a large catalogue, on SQLite and PostgreSQL.

    python -m benchmarks.catalogue_page [--folder runs/page] [--rows 5000000] [--only sqlite]

The catalogues come from `benchmarks.catalogue_rows`: ten crawls of a month each, with the same
rows every time. They are built once and kept in the folder. Filters are drawn by seed: a row is
drawn, and one to three of its facets. A quarter of them match fewer than 100 rows.

Times are wall-clock times of calls of `db.browsing` and `db.corrections` in this process. What is
corrected is taken back, and its log is deleted at the end.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from benchmarks.catalogue_filters import filters, given
from benchmarks.catalogue_rows import LEAVES, fill, show
from benchmarks.measuring import ProcessorUse
from benchmarks.postgres import SETTINGS
from db.browsing import FACETS, SORTS, facet, window
from db.catalogue import Catalogue
from db.corrections import Choice, correct, correct_all, progress, undo
from db.errors import QueryTooSlow
from db.queries import Filter, count
from db.session import make_engine, reading, writing
from db.summaries import stats
from db.tables import catalogue as table
from db.tables import corrections
from tests.servers import prepared, start_postgres

ROWS_A_MINUTE = 12  # a crawl of 500,000 rows takes a month
FACET_FILTERS = 20
OTHER_ORDERS = 20  # filters in the orders without a target
FACET_LIMIT, FACET_TARGET = 0.95, 1.0  # seconds; stopping takes some time
SINGLE = 200  # corrections of one row
BULK = Filter(crawl="crawl-3", shop="shop-006")  # 11,374 of 5 million rows
NAME = "benchmark"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path("runs/page"))
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slowest", type=int, default=0, help="show that many filters by time")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in ("sqlite", "postgresql"):
        if options.only in (None, name):
            with catalogue(name, options.folder.resolve(), options.rows) as engine:
                measure(engine, options)


@contextmanager
def catalogue(name: str, folder: Path, rows: int) -> Iterator[Engine]:
    """The catalogue of that many rows on a database, built unless it is there."""
    with database(name, folder) as url:
        opened = Catalogue.open(url)
        found = sum(item.rows for item in stats(opened.engine))
        if not found:
            began = time.perf_counter()
            fill(opened, rows, show, rows_a_minute=ROWS_A_MINUTE)
            print(f"\r{name}: {rows:,} rows built in {time.perf_counter() - began:.0f} s")
        elif found != rows:
            raise SystemExit(f"expected {rows:,} rows in {folder}, found {found:,}: remove it")
        opened.close()
        engine = make_engine(url)
        yield engine
        engine.dispose()


@contextmanager
def database(name: str, folder: Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{folder}/catalogue.db"
        return
    home = folder / "postgres"
    home.mkdir(exist_ok=True)
    server = start_postgres(home, prepared(home), SETTINGS)
    try:
        yield server.url("postgres")
    finally:
        server.process.send_signal(2)  # fast shutdown: the next start needs no recovery
        server.process.wait()


def measure(engine: Engine, options: argparse.Namespace) -> None:
    name = engine.dialect.name
    with ProcessorUse() as used:
        drawn = filters(engine, options.folder / f"filters-{options.rows}.json", options.seed)
        print(f"\n{name}, {options.rows:,} rows, {len(drawn)} filters, {date.today()}")
        print(f"{'':<44} {'median':>8} {'95 %':>8} {'worst':>8}  target")
        pages(engine, drawn, options.slowest)
        facets(engine, drawn[:: len(drawn) // FACET_FILTERS])
        try:
            writes(engine, random.Random(options.seed))
        finally:
            with writing(engine) as connection:
                mine = sa.delete(corrections).where(corrections.c.corrected_by == NAME)
                connection.execute(mine)
    print(f"other work used {used.others:.0%} of the cores meanwhile")


def pages(engine: Engine, drawn: Sequence[Filter], slowest: int) -> None:
    """Pages without and with filters, in each order."""
    for sort in SORTS:
        first = [page_seconds(engine, Filter(), sort) for _ in range(20)]
        say(f"first page, {sort}", first, 0.1)
    for sort in SORTS:
        target = 0.1 if sort == "newest" else None
        asked = drawn if sort == "newest" else drawn[:OTHER_ORDERS]
        cold = [page_seconds(engine, wanted, sort) for wanted in asked]
        again = [page_seconds(engine, wanted, sort) for wanted in asked]
        say(f"filtered page, {sort}: first time", cold, target)
        say(f"filtered page, {sort}: second time", again, target)
        ranked = sorted(zip(again, cold, asked, strict=True), key=lambda item: -item[0])
        for seconds, before, wanted in ranked[:slowest]:
            print(f"    {before * 1e3:8.1f} {seconds * 1e3:8.1f} ms {given(wanted)}")


def page_seconds(engine: Engine, wanted: Filter, sort: str) -> float:
    """The time of a page; that of a query which was stopped is its limit."""

    began = time.perf_counter()
    with suppress(QueryTooSlow):
        window(engine, wanted, sort=sort)
    return time.perf_counter() - began


def facets(engine: Engine, drawn: Sequence[Filter]) -> None:
    """Every facet under some filters, within its time limit."""
    late: dict[str, int] = {}
    seconds = []
    for wanted in drawn:
        for name in FACETS:
            began = time.perf_counter()
            if facet(engine, wanted, name, seconds=FACET_LIMIT) is None:
                late[name] = late.get(name, 0) + 1
            seconds.append(time.perf_counter() - began)
    say("a facet's counts, or stopped", seconds, FACET_TARGET)
    quick = sum(second <= 0.2 for second in seconds) / len(seconds)
    stopped = ", ".join(f"{name} {number}" for name, number in late.items()) or "none"
    print(f"    {quick:.0%} of {len(seconds)} within 0.2 s; stopped: {stopped}")
    say(
        "progress of a filter",
        [timed(lambda: progress(engine, wanted)) for wanted in drawn],  # noqa: B023
        None,
    )


def writes(engine: Engine, chance: random.Random) -> None:
    """A correction, a page of corrections, a filter of corrections, and taking them back."""
    with reading(engine) as connection:
        last = connection.execute(sa.select(sa.func.max(table.c.id))).scalar_one()
    single, page, back = [], [], []
    for number in range(SINGLE):
        sixty = _rows(engine, chance.randrange(1, last), 60)
        choices = [Choice(row_id, chance.choice(LEAVES), seen) for row_id, seen in sixty]
        single.append(timed(lambda: correct(engine, choices[:1], NAME)))  # noqa: B023
        if number % 10 == 0:
            began = time.perf_counter()
            done = correct(engine, choices[1:], NAME)
            page.append(time.perf_counter() - began)
            back.append(timed(lambda: undo(engine, done.batch, NAME)))  # noqa: B023
    say("a correction", single, 0.05)
    say("59 corrections in one action", page, None)
    say("undo of these", back, None)
    relabel, back = [], []
    rows = count(engine, BULK)
    for label in LEAVES[:3]:
        began = time.perf_counter()
        done = correct_all(engine, BULK, label, NAME, rows)
        relabel.append(time.perf_counter() - began)
        back.append(timed(lambda: undo(engine, done.batch, NAME)))  # noqa: B023
    say(f"one label for {rows:,} rows", relabel, 3.0)
    say("undo of these", back, None)


def _rows(engine: Engine, after: int, number: int) -> list[tuple[int, str | None]]:
    query = sa.select(table.c.id, table.c.label).where(table.c.id >= after).order_by(table.c.id)
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(query.limit(number))]


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def say(what: str, seconds: Sequence[float], target: float | None) -> None:
    """Print median, 95th percentile and maximum in milliseconds, and whether the target is met."""
    middle, worst = statistics.median(seconds), max(seconds)
    high = sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1]
    verdict = "" if target is None else f"{target * 1e3:.0f}: {'met' if high <= target else 'NO'}"
    line = f"{what:<44} {middle * 1e3:8.1f} {high * 1e3:8.1f} {worst * 1e3:8.1f}  {verdict}"
    print(line.rstrip(), flush=True)


if __name__ == "__main__":
    main()
