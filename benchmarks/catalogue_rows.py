"""Fill a catalogue of any size, like that of a year of crawls, to time reads on.

    python -m benchmarks.catalogue_rows URL [--rows 5000000]

The database at URL must be empty. Ten crawls visit 300 shops in turn; a few large shops and a few
frequent labels have most of the rows (Zipf's law). One picture in ten was in an earlier crawl, one
row in thirty was rejected, one in 250 corrected by a person, one in fifty relabelled. Indexes,
triggers and foreign keys are off while the rows load. Afterwards they are restored and the counters
recounted, so that `db check` finds nothing.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.catalogue import Catalogue
from db.check import check
from db.migrations.versions.r0003_counters import triggers
from db.records import LabelEntry
from db.session import writing
from db.tables import catalogue as table
from db.tables import path_key
from db.writes import counters

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS_A_MINUTE = 50_000
CHUNK = 100_000
MODELS = ("0123456789abcdef", "fedcba9876543210")
CRAWLS, SHOPS = 10, 300
REVIEWED_BELOW = 0.55
_TYPES = {
    "shoes": "sneakers sandals boots high_heels loafers slippers ballerinas mules",
    "trousers": "jeans chinos leggings shorts joggers",
    "tops": "t_shirt shirt sweater hoodie polo",
    "jackets": "coat blazer parka",
}
LEAVES = [
    f"{category}/{gender}/{kind}"
    for category, kinds in _TYPES.items()
    for kind in kinds.split()
    for gender in ("female", "male")
]
INNER = sorted({leaf.rsplit("/", n)[0] for leaf in LEAVES for n in (1, 2)})
LABELS = [LabelEntry(leaf, *leaf.split("/")) for leaf in LEAVES] + [
    LabelEntry(label, *label.split("/"), is_leaf=False) for label in INNER
]
REASONS = ("truncated", "not_an_image", "too_small", "missing")
COLUMNS = (
    *("crawl", "path", "path_key", "url", "shop", "product_id", "size", "mtime", "content_hash"),
    *("category", "gender", "type", "model_label", "best_leaf", "category_confidence"),
    *("gender_confidence", "type_confidence", "confidence", "margin", "needs_review"),
    *("model_version", "labelled_at", "status", "reason", "created_at", "updated_at"),
    "human_label",
)
Row = tuple[Any, ...]


def zipf(number: int) -> np.ndarray[Any, Any]:
    """``(number,)`` shares proportional to 1, 1/2, 1/3 …, with the sum 1."""
    weights = 1 / np.arange(1, number + 1)
    return np.asarray(weights / weights.sum())


def made_rows(
    rows: int, chunk: int = CHUNK, rows_a_minute: int = ROWS_A_MINUTE
) -> Iterator[list[Row]]:
    """The rows in order of time, `chunk` at a time; the same rows for the same numbers."""
    seen: list[str] = []
    for start in range(0, rows, chunk):
        yield _chunk(start, min(chunk, rows - start), rows, seen, rows_a_minute)


def _chunk(start: int, size: int, rows: int, seen: list[str], rows_a_minute: int) -> list[Row]:
    chance = np.random.default_rng(start)
    leaf = chance.choice(len(LEAVES), size, p=zipf(len(LEAVES))).tolist()
    sure = (1 - chance.random((3, size)) ** 16 * 0.7).round(6).tolist()
    margin = np.sqrt(chance.random(size)).tolist()
    fate = chance.random(size).tolist()
    again = chance.random(size).tolist()
    number = np.arange(start, start + size)
    in_crawl = number % -(-rows // CRAWLS) / -(-rows // CRAWLS)
    shop = np.searchsorted(np.cumsum(zipf(SHOPS)), in_crawl).clip(0, SHOPS - 1).tolist()
    digests = chance.bytes(16 * size).hex()
    made = []
    for i in range(size):
        digest = digests[32 * i : 32 * i + 32]
        if again[i] < 0.1 and seen:
            digest = seen[int(again[i] * 10 * len(seen))]
        elif again[i] > 0.98 and len(seen) < 1_000_000:
            seen.append(digest)
        confidences = (sure[0][i], sure[1][i], sure[2][i])
        at = _time(start + i, rows, rows_a_minute)
        made.append(
            _row(start + i, rows, at, shop[i], leaf[i], confidences, margin[i], fate[i], digest)
        )
    return made


def _time(number: int, rows: int, rows_a_minute: int) -> datetime:
    """When a row was labelled; a month without crawls precedes each crawl but the first."""
    since_start = timedelta(microseconds=number * 60_000_000 // rows_a_minute)
    return START + since_start + timedelta(days=30 * (number // -(-rows // CRAWLS)))


def _row(
    number: int,
    rows: int,
    at: datetime,
    shop: int,
    leaf: int,
    sure: tuple[float, float, float],
    margin: float,
    fate: float,
    digest: str,
) -> Row:
    crawl = number // -(-rows // CRAWLS)
    path = f"/data/crawl-{crawl}/shop-{shop:03d}/product-{number // 4:08d}/{number:09d}.jpg"
    from_manifest = crawl % 4 == 3
    url = f"https://shop-{shop:03d}.example/products/{number // 4}/{number}.jpg"
    facts = (
        *(f"crawl-{crawl}", path, path_key(path), url if from_manifest else None),
        *(
            f"shop-{shop:03d}",
            str(number // 4) if from_manifest else None,
            20_000 + number % 50_000,
        ),
        *(1.7e9 + number, digest),
    )
    model = MODELS[crawl >= CRAWLS // 2]
    if fate > 0.96:  # rejected, cancelled, quarantined or pending
        return facts + _unlabelled(fate, model, at, last=crawl == CRAWLS - 1)
    best = LEAVES[leaf]
    category, gender, kind = best.split("/")
    label: tuple[str | None, ...] = (category, gender, kind, best)
    least = min(sure)
    if least < 0.4:
        label = (category, gender, None, f"{category}/{gender}")
    human = LEAVES[number % len(LEAVES)] if fate < 0.004 else None
    return (
        *facts,
        *(*label, best, *sure, least, margin * least, least < REVIEWED_BELOW),
        *(model, at, "labelled", None, at, at, human),
    )


def _unlabelled(fate: float, model: str, at: datetime, *, last: bool) -> Row:
    reason: str | None = None
    if fate < 0.993:
        status, reason = "rejected", REASONS[int((fate - 0.96) / 0.033 * 2.5)]
    elif fate < 0.9935:
        status, reason = "quarantined", "worker_died"
    elif fate < 0.996 or not last:
        status = "cancelled"
    else:
        status = "pending"
    return (*(None,) * 10, False, model, None, status, reason, at, at, None)


def fill(
    catalogue: Catalogue,
    rows: int,
    report: Callable[[str], None] = lambda text: None,
    *,
    rows_a_minute: int = ROWS_A_MINUTE,
) -> None:
    """Load the rows into the empty `catalogue`; about 50,000 per second.

    The rows were labelled at `rows_a_minute`: at few, they are spread over many days.
    """
    for model in MODELS:
        catalogue.register_model(model, LABELS)
    engine = catalogue.engine
    with writing(engine) as connection:
        names = [{"name": f"crawl-{n}", "at": "2026-01-01 00:00:00"} for n in range(CRAWLS)]
        connection.execute(
            sa.text("INSERT INTO crawls (name, created_at) VALUES (:name, :at)"), names
        )
    with engine.connect() as connection:
        load = _load_sqlite if engine.dialect.name == "sqlite" else _load_postgresql
        load(connection, rows, report, rows_a_minute)
    with writing(engine) as connection:
        report("corrections, history, counters")
        _add_related_rows(connection)
        counters.recount(connection)
    with engine.connect() as connection:
        outside = connection.execution_options(isolation_level="AUTOCOMMIT")
        if engine.dialect.name == "sqlite":
            raw = connection.connection.driver_connection
            raw.execute("ANALYZE")  # type: ignore[union-attr]
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # type: ignore[union-attr]
        else:
            outside.execute(sa.text("VACUUM (ANALYZE)"))
    engine.dispose()


def _load_sqlite(
    connection: Connection, rows: int, report: Callable[[str], None], rows_a_minute: int
) -> None:
    raw: Any = connection.connection.driver_connection
    for pragma in ("foreign_keys = OFF", "cache_size = -1000000", "synchronous = OFF"):
        raw.execute(f"PRAGMA {pragma}")
    for kind in ("insert", "update", "delete"):
        raw.execute(f"DROP TRIGGER catalogue_count_{kind}")
    marks = ", ".join("?" * len(COLUMNS))
    with _without_indexes(connection):
        done = 0
        for chunk in made_rows(rows, rows_a_minute=rows_a_minute):
            raw.execute("BEGIN IMMEDIATE")
            raw.executemany(
                f"INSERT INTO catalogue ({', '.join(COLUMNS)}) VALUES ({marks})",
                [tuple(_sqlite_value(value) for value in row) for row in chunk],
            )
            raw.execute("COMMIT")
            done += len(chunk)
            report(f"{done:,} rows")
    for trigger in triggers("sqlite"):
        raw.execute(trigger)
    raw.execute("PRAGMA foreign_keys = ON")


def _sqlite_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f}"
    return value


def _load_postgresql(
    connection: Connection, rows: int, report: Callable[[str], None], rows_a_minute: int
) -> None:
    outside = connection.execution_options(isolation_level="AUTOCOMMIT")
    outside.execute(sa.text("SET session_replication_role = replica"))
    raw: Any = connection.connection.driver_connection
    with _without_indexes(outside):
        done = 0
        for chunk in made_rows(rows, rows_a_minute=rows_a_minute):
            with (
                raw.cursor() as cursor,
                cursor.copy(f"COPY catalogue ({', '.join(COLUMNS)}) FROM STDIN") as copy,
            ):
                for row in chunk:
                    copy.write_row(row)
            done += len(chunk)
            report(f"{done:,} rows")
    outside.execute(sa.text("SET session_replication_role = origin"))


@contextmanager
def _without_indexes(connection: Connection) -> Iterator[None]:
    """Drop the indexes of the catalogue and create them again at the end."""
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    for index in indexes:
        index.drop(connection)
    connection.commit()
    yield
    for index in indexes:
        index.create(connection)
    connection.commit()


def _add_related_rows(connection: Connection) -> None:
    """Add a correction for each human label, and some history."""
    connection.execute(
        sa.text(
            "INSERT INTO corrections "
            "(catalogue_id, corrected_by, corrected_at, from_label, to_label, model_label) "
            "SELECT id, 'mara', updated_at, model_label, human_label, model_label FROM catalogue "
            "WHERE human_label IS NOT NULL"
        )
    )
    connection.execute(
        sa.text(
            "INSERT INTO label_history (catalogue_id, content_hash, category, model_label, "
            "best_leaf, confidence, margin, needs_review, model_version, labelled_at, replaced_at) "
            "SELECT id, content_hash, category, model_label, best_leaf, confidence, margin, "
            "needs_review, 'an earlier one', labelled_at, updated_at FROM catalogue "
            "WHERE status = 'labelled' AND id % 50 = 0"
        )
    )


def show(text: str) -> None:
    print(f"\r{text:<40}", end="", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=5_000_000)
    options = parser.parse_args(arguments)
    catalogue = Catalogue.open(options.url)
    began, busy = time.perf_counter(), os.times()
    fill(catalogue, options.rows, show)
    seconds, used = time.perf_counter() - began, os.times()
    cpu = used.user + used.system - busy.user - busy.system
    print(f"\r{options.rows:,} rows in {seconds:.0f} s ({cpu:.0f} s of this process's CPU)")
    for finding in check(catalogue.engine):
        print(finding.what)


if __name__ == "__main__":
    main()
