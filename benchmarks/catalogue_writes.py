"""How fast rows are labelled, and what each index costs: rows a second, bytes a row.

    python benchmarks/catalogue_writes.py URL [--rows 200000] [--indexes]

The database at URL must be empty. Rows are claimed and stored in batches of 256, as a worker does;
then the same batches are timed as a plain store of fresh rows. With --indexes each index is dropped
in turn and the store timed again.
"""

from __future__ import annotations

import argparse
import random
import time

import sqlalchemy as sa

from db.catalogue import Catalogue
from db.models import catalogue as table
from db.records import FileState, LabelEntry, LabelFields, Outcome
from db.session import writing

BATCH = 256
LEAVES = [f"{a}/{b}/{c}" for a in ("shoes", "trousers") for b in "fm" for c in "vwxyz"]
MODEL = "0123456789abcdef"


def outcome(number: int, chance: random.Random) -> Outcome:
    label = chance.choice(LEAVES)
    category, gender, kind = label.split("/")
    sure = chance.random()
    fields = LabelFields(
        category, gender, kind, label, label, 0.99, 0.95, sure, sure, sure / 2, sure < 0.1
    )
    path = f"/data/crawl/spring/shop-{number % 50}/product-{number // 4}/{number:09d}.jpg"
    return Outcome(path, "labelled", 31234, 1.7e9 + number, f"{number:032x}", fields=fields)


def store(catalogue: Catalogue, crawl: str, rows: int, *, claim: bool) -> float:
    """Rows a second."""
    chance, seconds = random.Random(7), 0.0
    for start in range(0, rows, BATCH):
        batch = [outcome(number, chance) for number in range(start, start + BATCH)]
        files = [FileState(item.path, item.size, item.mtime) for item in batch]
        began = time.perf_counter()
        if claim:
            catalogue.claim(crawl, files, "me", 300, MODEL)
        catalogue.store(crawl, "me", MODEL, batch)
        seconds += time.perf_counter() - began
    return rows / seconds


def size(catalogue: Catalogue) -> int:
    with catalogue.engine.connect() as connection:
        if catalogue.engine.dialect.name == "postgresql":
            query = "SELECT pg_total_relation_size('catalogue')"
        else:
            query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        return int(connection.execute(sa.text(query)).scalar_one())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--indexes", action="store_true")
    asked = parser.parse_args()
    catalogue = Catalogue.open(asked.url)
    entries = [LabelEntry(leaf, *leaf.split("/")) for leaf in LEAVES]
    catalogue.register_model(MODEL, entries)
    print(f"store, all indexes: {store(catalogue, 'a', asked.rows, claim=False):,.0f} rows/s")
    print(f"bytes a row, indexes included: {size(catalogue) / asked.rows:.0f}")
    print(f"claim and store: {store(catalogue, 'b', asked.rows, claim=True):,.0f} rows/s")
    if not asked.indexes:
        return
    for number, index in enumerate(sorted(table.indexes, key=lambda index: str(index.name))):
        before = size(catalogue)
        with writing(catalogue.engine) as connection:
            index.drop(connection)
        speed = store(catalogue, f"without {number}", asked.rows // 4, claim=False)
        with writing(catalogue.engine) as connection:
            index.create(connection)
        print(f"without {index.name}: {speed:,.0f} rows/s (size before {before / 1e6:.0f} MB)")


if __name__ == "__main__":
    main()
