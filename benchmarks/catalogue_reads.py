"""Time the first page of each documented filter, stats and an export on a large catalogue.

    python -m benchmarks.catalogue_rows URL --rows 5000000
    python -m benchmarks.catalogue_reads URL [--parquet FILE]

Each runs six times in this process. Printed are wall-clock milliseconds of the first run, of the
best and the worst of the other five, and the processor time of the best. Query plans:
``benchmarks.catalogue_plans``.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
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
class FilterCase:
    """A documented filter: what a user types, the filter, its order, and the index it must use."""

    typed: str
    wanted: Filter
    index: str
    order_by: str = "id"


def documented(engine: Engine) -> list[FilterCase]:
    """The filters of docs/catalogue.md, whose first page an index answers."""
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
    case = FilterCase
    return [
        case("--label shoes/female/sneakers", Filter(label="shoes/female/sneakers"), label),
        case("--label 'shoes/*'", Filter(label="shoes/*"), label),
        case("--label '*/parka' (the rarest)", Filter(label="*/parka"), label),
        case("--category shoes", Filter(category="shoes"), label),
        case("--gender female", Filter(gender="female"), label),
        case("--type sandals", Filter(type="sandals"), label),
        case(
            "--category shoes --min-confidence 0.9",
            Filter(category="shoes", min_confidence=0.9),
            label,
        ),
        case("--label 'shoes/*' --crawl (the last)", Filter(label="shoes/*", crawl=crawl), label),
        case("--crawl (the first)", Filter(crawl="crawl-0"), "ix_catalogue_crawl_id"),
        case("--crawl (the last)", Filter(crawl=crawl), "ix_catalogue_crawl_id"),
        case("--shop (the largest)", Filter(shop="shop-000"), "ix_catalogue_shop"),
        case("--shop (the smallest)", Filter(shop="shop-299"), "ix_catalogue_shop"),
        case("--path (whole)", Filter(path=some.path), key),
        case("--content-hash", Filter(content_hash=some.content_hash), "ix_catalogue_content_hash"),
        case("--status rejected", Filter(status="rejected"), failed),
        case("--status quarantined", Filter(status="quarantined"), failed),
        case("--status cancelled", Filter(status="cancelled"), failed),
        case("--reason truncated", Filter(reason="truncated"), reason),
        case("--reason worker_died (rare)", Filter(reason="worker_died"), reason),
        case(
            "--needs-review --order-by confidence",
            Filter(needs_review=True),
            "ix_catalogue_review",
            "confidence",
        ),
        case(
            "--labelled-after … --order-by labelled_at",
            Filter(labelled_after=late),
            "ix_catalogue_labelled_at",
            "labelled_at",
        ),
        case(
            "--labelled-before … --order-by -labelled_at",
            Filter(labelled_before=before),
            "ix_catalogue_labelled_at",
            "-labelled_at",
        ),
        case("--corrected", Filter(corrected=True), "ix_catalogue_corrected"),
    ]


def combined() -> list[FilterCase]:
    """Combined filters that few rows match."""
    case, crawl = FilterCase, f"crawl-{CRAWLS - 1}"
    return [
        case("--label '*/parka' --crawl (the last)", Filter(label="*/parka", crawl=crawl), ""),
        case("--label '*/parka' --shop (small)", Filter(label="*/parka", shop="shop-299"), ""),
        case("--shop (small) --crawl (the last)", Filter(shop="shop-299", crawl=crawl), ""),
        case("--status quarantined --crawl", Filter(status="quarantined", crawl=crawl), ""),
        case("--corrected --crawl (the last)", Filter(corrected=True, crawl=crawl), ""),
        case("--needs-review --crawl (the last)", Filter(needs_review=True, crawl=crawl), ""),
        case(
            "--needs-review --crawl --order-by confidence",
            Filter(needs_review=True, crawl=crawl),
            "",
            "confidence",
        ),
    ]


def others() -> list[FilterCase]:
    """Filters that scan the table from its start until the page is full."""
    case = FilterCase
    return [
        case("(none)", Filter(), ""),
        case("--needs-review", Filter(needs_review=True), ""),
        case("--duplicates", Filter(duplicates=True), ""),
        case("--status pending", Filter(status="pending"), ""),
        case("--model-version (the later)", Filter(model_version="fedcba9876543210"), ""),
        case("--path '/data/crawl-9/*'", Filter(path="/data/crawl-9/*"), ""),
        case("--max-margin 0.05", Filter(max_margin=0.05), ""),
    ]


def timed(name: str, work: Callable[[], object]) -> None:
    """Print first, best and worst wall-clock time and the least processor time, in milliseconds."""
    seconds, processor = [], []
    for _ in range(6):
        began, cpu = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - cpu)
    first, *rest = (second * 1e3 for second in seconds)
    print(f"{name:<44} {first:8.1f} {min(rest):8.1f} {max(rest):8.1f} {min(processor) * 1e3:8.1f}")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def export(engine: Engine, target: Path) -> None:
    before, began, cpu = peak_mib(), time.perf_counter(), time.process_time()
    done = parquet.export_parquet(engine, Filter(), target)
    seconds, processor = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"Parquet: {done.rows:,} rows in {seconds:.1f} s ({processor:.1f} s of processor time): "
        f"{done.rows / seconds:,.0f} rows/s; at most {peak_mib():.0f} MiB ({before:.0f} before); "
        f"{target.stat().st_size / done.rows:.0f} bytes per row"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--parquet", type=Path)
    parser.add_argument("--only-parquet", action="store_true")
    options = parser.parse_args()
    engine = Catalogue.open(options.url).engine
    if options.parquet:
        export(engine, options.parquet)
    if options.only_parquet:
        return
    print(f"{count(engine, Filter()):,} rows; ms: first, best and worst of five more, processor")
    for case in (*documented(engine), *combined(), *others()):
        first_page = partial(page, engine, case.wanted, order_by=case.order_by, limit=100)
        timed(case.typed, first_page)
    timed("stats", lambda: stats(engine))
    for by in ("crawl", "shop", "model", "day"):
        timed(f"stats --by {by}", partial(stats, engine, by=by))
    timed("stats --label 'shoes/*'", lambda: stats(engine, Filter(label="shoes/*")))


if __name__ == "__main__":
    main()
