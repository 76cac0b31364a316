"""First pages of the documented filters, stats, and a streaming export, on a large catalogue.

    python -m benchmarks.catalogue_rows URL --rows 5000000
    python -m benchmarks.catalogue_reads URL [--parquet FILE] [--plans]

Each is done six times, in process: the first time, then the best and the worst of five, by the
clock, and the processor time of the best. `--plans` prints how the database answers each
(docs/query-plans.md is made by tools/write_plans.py).
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from benchmarks.catalogue_rows import CRAWLS, START
from db import session
from db.catalogue import Catalogue
from db.exports import parquet
from db.queries import Filter, count, page
from db.summaries import stats
from db.tables import catalogue as table


@dataclass(frozen=True)
class Question:
    """A documented filter: what a user types, the filter and its order, the index it must use."""

    typed: str
    wanted: Filter
    index: str
    order_by: str = "id"


def documented(engine: Engine) -> list[Question]:
    """The filters whose first page comes from an index, as docs/catalogue.md lists them."""
    with session.reading(engine) as connection:
        middle = connection.execute(sa.select(sa.func.max(table.c.id) / 2)).scalar_one()
        some = connection.execute(
            sa.select(table).where(table.c.id >= middle, table.c.status == "labelled").limit(1)
        ).one()
        last = connection.execute(sa.select(sa.func.max(table.c.labelled_at))).scalar_one()
    label, key = "ix_catalogue_label", "uq_catalogue_crawl_path_key"
    late, before = last - timedelta(hours=1), START + timedelta(minutes=1)
    crawl, failed = f"crawl-{CRAWLS - 1}", "ix_catalogue_failed"
    reason = "ix_catalogue_reason"
    ask = Question
    return [
        ask("--label shoes/female/sneakers", Filter(label="shoes/female/sneakers"), label),
        ask("--label 'shoes/*'", Filter(label="shoes/*"), label),
        ask("--label '*/parka' (the rarest)", Filter(label="*/parka"), label),
        ask("--category shoes", Filter(category="shoes"), label),
        ask("--gender female", Filter(gender="female"), label),
        ask("--type sandals", Filter(type="sandals"), label),
        ask(
            "--category shoes --min-confidence 0.9",
            Filter(category="shoes", min_confidence=0.9),
            label,
        ),
        ask("--label 'shoes/*' --crawl (the last)", Filter(label="shoes/*", crawl=crawl), label),
        ask("--crawl (the first)", Filter(crawl="crawl-0"), "ix_catalogue_crawl_id"),
        ask("--crawl (the last)", Filter(crawl=crawl), "ix_catalogue_crawl_id"),
        ask("--shop (the largest)", Filter(shop="shop-000"), "ix_catalogue_shop"),
        ask("--shop (the smallest)", Filter(shop="shop-299"), "ix_catalogue_shop"),
        ask("--path (whole)", Filter(path=some.path), key),
        ask("--content-hash", Filter(content_hash=some.content_hash), "ix_catalogue_content_hash"),
        ask("--status rejected", Filter(status="rejected"), failed),
        ask("--status quarantined", Filter(status="quarantined"), failed),
        ask("--status cancelled", Filter(status="cancelled"), failed),
        ask("--reason truncated", Filter(reason="truncated"), reason),
        ask("--reason worker_died (rare)", Filter(reason="worker_died"), reason),
        ask(
            "--needs-review --order-by confidence",
            Filter(needs_review=True),
            "ix_catalogue_review",
            "confidence",
        ),
        ask(
            "--labelled-after … --order-by labelled_at",
            Filter(labelled_after=late),
            "ix_catalogue_labelled_at",
            "labelled_at",
        ),
        ask(
            "--labelled-before … --order-by -labelled_at",
            Filter(labelled_before=before),
            "ix_catalogue_labelled_at",
            "-labelled_at",
        ),
        ask("--corrected", Filter(corrected=True), "ix_catalogue_corrected"),
    ]


def combined() -> list[Question]:
    """Filters together, the rare kind: few rows fit both."""
    ask, crawl = Question, f"crawl-{CRAWLS - 1}"
    return [
        ask("--label '*/parka' --crawl (the last)", Filter(label="*/parka", crawl=crawl), ""),
        ask("--label '*/parka' --shop (small)", Filter(label="*/parka", shop="shop-299"), ""),
        ask("--shop (small) --crawl (the last)", Filter(shop="shop-299", crawl=crawl), ""),
        ask("--status quarantined --crawl", Filter(status="quarantined", crawl=crawl), ""),
        ask("--corrected --crawl (the last)", Filter(corrected=True, crawl=crawl), ""),
        ask("--needs-review --crawl (the last)", Filter(needs_review=True, crawl=crawl), ""),
        ask(
            "--needs-review --crawl --order-by confidence",
            Filter(needs_review=True, crawl=crawl),
            "",
            "confidence",
        ),
    ]


def others() -> list[Question]:
    """Filters that read the table from its beginning until the page is full."""
    ask = Question
    return [
        ask("(none)", Filter(), ""),
        ask("--needs-review", Filter(needs_review=True), ""),
        ask("--duplicates", Filter(duplicates=True), ""),
        ask("--status pending", Filter(status="pending"), ""),
        ask("--model-version (the later)", Filter(model_version="fedcba9876543210"), ""),
        ask("--path '/data/crawl-9/*'", Filter(path="/data/crawl-9/*"), ""),
        ask("--max-margin 0.05", Filter(max_margin=0.05), ""),
    ]


def timed(name: str, work: Callable[[], object]) -> None:
    """Print the first time, best and worst of five, and the processor time of the best [ms]."""
    seconds, busy = [], []
    for _ in range(6):
        began, cpu = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - cpu)
    first, *rest = (second * 1e3 for second in seconds)
    print(f"{name:<44} {first:8.1f} {min(rest):8.1f} {max(rest):8.1f} {min(busy) * 1e3:8.1f}")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def export(engine: Engine, target: Path) -> None:
    before, began, cpu = peak_mib(), time.perf_counter(), time.process_time()
    done = parquet.export_parquet(engine, Filter(), target)
    seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"Parquet: {done.rows:,} rows in {seconds:.1f} s ({busy:.1f} s of this process's CPU): "
        f"{done.rows / seconds:,.0f} rows/s; at most {peak_mib():.0f} MiB ({before:.0f} before); "
        f"{target.stat().st_size / done.rows:.0f} bytes a row"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--parquet", type=Path)
    parser.add_argument("--only-parquet", action="store_true")
    asked = parser.parse_args()
    engine = Catalogue.open(asked.url).engine
    if asked.parquet:
        export(engine, asked.parquet)
    if asked.only_parquet:
        return
    print(f"{count(engine, Filter()):,} rows; ms: first, best and worst of five more, CPU here")
    for question in (*documented(engine), *combined(), *others()):
        timed(
            question.typed,
            lambda q=question: page(engine, q.wanted, order_by=q.order_by, limit=100),  # type: ignore[misc]
        )
    timed("stats", lambda: stats(engine))
    for by in ("crawl", "shop", "model", "day"):
        timed(f"stats --by {by}", lambda b=by: stats(engine, by=b))  # type: ignore[misc]
    timed("stats --label 'shoes/*'", lambda: stats(engine, Filter(label="shoes/*")))


if __name__ == "__main__":
    main()
