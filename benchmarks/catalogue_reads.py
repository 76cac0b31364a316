"""Five million rows: first pages of the documented filters, stats, and a streaming export.

    python benchmarks/catalogue_reads.py URL [--rows 5000000] [--parquet FILE] [--plans]

Fills the database at URL if it is empty, by plain SQL inside the database (triggers included), so
that filling takes minutes. Each time is the best and the worst of five.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from benchmarks.catalogue_writes import LEAVES, MODEL
from db import housekeeping, parquet
from db.catalogue import Catalogue
from db.queries import Filter, page
from db.records import LabelEntry
from db.session import writing
from db.summaries import stats

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS_A_STATEMENT = 250_000
COLUMNS = (
    "crawl, path, path_key, shop, size, mtime, content_hash, category, gender, type, label, "
    "best_leaf, category_confidence, gender_confidence, type_confidence, confidence, margin, "
    "needs_review, model_version, labelled_at, status, created_at, updated_at"
)


def fill(catalogue: Catalogue, rows: int) -> None:
    catalogue.register_model(MODEL, [LabelEntry(leaf, *leaf.split("/")) for leaf in LEAVES])
    with writing(catalogue.engine) as connection:
        for number in range(10):
            connection.execute(
                sa.text("INSERT INTO crawls (name, created_at) VALUES (:name, :at)"),
                {"name": f"crawl-{number}", "at": "2026-01-01 00:00:00"},
            )
    for start in range(0, rows, ROWS_A_STATEMENT):
        with writing(catalogue.engine) as connection:
            connection.execute(sa.text(filling(catalogue.engine.dialect.name, start, rows)))
        print(f"\r{start:,} rows", end="", flush=True)
    housekeeping.vacuum(catalogue.engine)
    print(f"\r{rows:,} rows")


def filling(dialect: str, start: int, rows: int) -> str:
    """INSERT … SELECT of rows whose values follow from their number."""
    crawl = f"'crawl-' || (n / {max(1, rows // 10)})"
    path = "'/data/shop-' || (n % 50) || '/product-' || (n / 4) || '/' || n || '.jpg'"
    leaf = f"substr('{''.join(x.ljust(16) for x in LEAVES)}', (n * 7 % {len(LEAVES)}) * 16 + 1, 16)"
    sure = "((n * 7919) % 10007) / 10007.0"
    end = min(start + ROWS_A_STATEMENT, rows) - 1
    if dialect == "sqlite":
        key, at = (
            "CAST(printf('%016d', n) AS BLOB)",
            "datetime('2026-01-01', (n / 60) || ' minutes')",
        )
        at = f"{at} || '.000000'"
        series = (
            f"WITH RECURSIVE s(n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM s WHERE n < {end})"
        )
        digest, last = "printf('%032x', n - (n % 97 = 0))", "FROM s"
    else:
        key = "decode(lpad(to_hex(n), 32, '0'), 'hex')"
        at = "timestamptz '2026-01-01 00:00:00Z' + (n / 60) * interval '1 minute'"
        series, last = "", f"FROM generate_series({start}, {end}) AS s(n)"
        digest = "lpad(to_hex(n - (n % 97 = 0)::int), 32, '0')"
    category = f"CASE WHEN {leaf} LIKE 'shoes%' THEN 'shoes' ELSE 'trousers' END"
    values = (
        f"{crawl}, {path}, {key}, 'shop-' || (n % 50), 31234, n, {digest}, {category}, 'f', 'v', "
        f"rtrim({leaf}), rtrim({leaf}), 0.99, 0.95, {sure}, {sure}, {sure} / 2, {sure} < 0.05, "
        f"'{MODEL}', {at}, 'labelled', {at}, {at}"
    )
    return f"INSERT INTO catalogue ({COLUMNS}) {series} SELECT {values} {last}"


def documented(rows: int) -> dict[str, tuple[Filter, str, str]]:
    """The filters of docs/catalogue.md: what a user types, the filter, its order, its index."""
    late = START + timedelta(minutes=rows / 60 - 100)
    sure = Filter(category="shoes", min_confidence=0.9)
    return {
        "--label shoes/f/v": (Filter(label="shoes/f/v"), "id", "ix_catalogue_label"),
        "--label 'shoes/*'": (Filter(label="shoes/*"), "id", "ix_catalogue_label"),
        "--category shoes --min-confidence 0.9": (sure, "id", "ix_catalogue_label"),
        "--crawl": (Filter(crawl="crawl-9"), "id", "ix_catalogue_crawl_id"),
        "--shop": (Filter(shop="shop-7"), "id", "ix_catalogue_shop"),
        "--path": (
            Filter(path="/data/shop-1/product-0/1.jpg"),
            "id",
            "uq_catalogue_crawl_path_key",
        ),
        "--content-hash": (Filter(content_hash=f"{5:032x}"), "id", "ix_catalogue_content_hash"),
        "--status rejected": (Filter(status="rejected"), "id", "ix_catalogue_failed"),
        "--needs-review --order-by confidence": (
            Filter(needs_review=True),
            "confidence",
            "ix_catalogue_review",
        ),
        "--labelled-after --order-by labelled_at": (
            Filter(labelled_after=late),
            "labelled_at",
            "ix_catalogue_labelled_at",
        ),
        "--corrected": (Filter(corrected=True), "id", "ix_catalogue_corrected"),
    }


def timed(name: str, work: Callable[[], object]) -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    print(f"{name:<46} {min(seconds) * 1e3:8.1f} {max(seconds) * 1e3:8.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--parquet", type=Path)
    asked = parser.parse_args()
    catalogue = Catalogue.open(asked.url)
    engine = catalogue.engine
    if not page(engine, Filter(), limit=1).rows:
        fill(catalogue, asked.rows)
    for name, (wanted, order, _) in documented(asked.rows).items():
        timed(name, lambda w=wanted, o=order: page(engine, w, order_by=o, limit=100))  # type: ignore[misc]
    timed("stats", lambda: stats(engine))
    timed("stats --by shop", lambda: stats(engine, by="shop"))
    if asked.parquet:
        began = time.perf_counter()
        done = parquet.export_parquet(engine, Filter(), asked.parquet)
        seconds = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"Parquet: {done.rows / seconds:,.0f} rows/s, {memory:.0f} MiB at most")


if __name__ == "__main__":
    main()
