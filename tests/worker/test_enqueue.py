"""Into the ledger and onto the queue: manifests, batches by number and time, back-pressure."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from db.catalogue import Catalogue
from db.queries import Filter, rows
from tests.servers import wait_until
from tests.worker.crawls import MODEL_NAME, write_crawl
from worker.enqueue import Enqueuer
from worker.errors import BrokerUnreachable, InputError
from worker.manifests import read_manifest
from worker.settings import Settings

SETTINGS = Settings(model=MODEL_NAME, shard_size=10, max_queue_length=3)


class Shelf:
    """A publisher that keeps what it is given, and can be full or out of order."""

    def __init__(self) -> None:
        self.shards: list[list[str]] = []
        self.full = self.broken = False

    def publish(self, crawl: str, paths: Sequence[str], **_: object) -> None:
        if self.broken:
            raise BrokerUnreachable("nobody there")
        self.shards.append(list(paths))

    def length(self) -> int:
        return 3 if self.full else 0

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}")
    yield opened
    opened.close()


def enqueuer(ledger: Catalogue, shelf: Shelf, **more: object) -> Enqueuer:
    more = {"flush_seconds": 0.0} | more
    return Enqueuer("spring", settings=SETTINGS, catalogue=ledger, publisher=shelf, **more)  # type: ignore[arg-type]


def pending(ledger: Catalogue) -> list[str]:
    return sorted(row.path for row in rows(ledger.engine, Filter()) if row.status == "pending")


def test_rows_are_there_and_shards_hold_each_path_once(ledger: Catalogue, tmp_path: Path) -> None:
    paths = [str(path) for path in write_crawl(tmp_path / "crawl", 25)]
    shelf = Shelf()
    with enqueuer(ledger, shelf) as made:
        for path in paths:
            made.add(path, shop="a shop", url=f"https://shop/{path}")
    assert [len(shard) for shard in shelf.shards] == [10, 10, 5]
    assert [path for shard in shelf.shards for path in shard] == paths
    assert pending(ledger) == paths
    assert {row.shop for row in rows(ledger.engine, Filter())} == {"a shop"}
    assert (made.seen, made.queued, made.shards) == (25, 25, 3)


def test_what_is_done_is_not_published_again(ledger: Catalogue, tmp_path: Path) -> None:
    paths = write_crawl(tmp_path / "crawl", 4)
    with enqueuer(ledger, Shelf()) as made:
        for path in paths:
            made.add(path)
    ledger_file = tmp_path / "catalogue.db"
    import sqlite3

    with sqlite3.connect(ledger_file) as connection:
        connection.execute(
            "UPDATE catalogue SET status = 'rejected', reason = 'empty' WHERE path IN (?, ?)",
            [str(paths[0]), str(paths[1])],
        )
    connection.close()
    shelf = Shelf()
    with enqueuer(ledger, shelf) as made:
        for path in paths:
            made.add(path)
    assert shelf.shards == [[str(path) for path in paths[2:]]]
    assert (made.seen, made.queued) == (4, 2)


def test_rows_stay_when_the_broker_is_gone(ledger: Catalogue, tmp_path: Path) -> None:
    (path,) = write_crawl(tmp_path / "crawl", 1)
    shelf = Shelf()
    shelf.broken = True
    made = enqueuer(ledger, shelf)
    made.add(path)
    with pytest.raises(BrokerUnreachable):
        made.close()
    assert pending(ledger) == [str(path)]


def test_few_paths_are_enqueued_after_a_while(ledger: Catalogue, tmp_path: Path) -> None:
    (path,) = write_crawl(tmp_path / "crawl", 1)
    shelf = Shelf()
    with enqueuer(ledger, shelf, flush_seconds=0.02) as made:
        made.add(path)
        wait_until(lambda: shelf.shards, "the path to be published")
    assert shelf.shards == [[str(path)]]


def test_an_error_in_the_background_reaches_the_caller(ledger: Catalogue, tmp_path: Path) -> None:
    one, two = write_crawl(tmp_path / "crawl", 2)
    shelf = Shelf()
    shelf.broken = True
    made = enqueuer(ledger, shelf, flush_seconds=0.02)
    made.add(one)
    wait_until(lambda: made._error is not None, "the background to fail")
    with pytest.raises(BrokerUnreachable):
        made.add(two)
    shelf.broken = False
    made.close()


def test_it_waits_while_the_queue_is_too_long(ledger: Catalogue, tmp_path: Path) -> None:
    (path,) = write_crawl(tmp_path / "crawl", 1)
    shelf, asked = Shelf(), threading.Event()
    shelf.full = True
    length = shelf.length

    def ask() -> int:
        asked.set()
        return length()

    shelf.length = ask  # type: ignore[method-assign]
    made = enqueuer(ledger, shelf)
    made.add(path)
    closing = threading.Thread(target=made.close)
    closing.start()
    assert asked.wait(30)
    assert shelf.shards == []  # the row is in the ledger, the message waits
    assert pending(ledger) == [str(path)]
    shelf.full = False
    closing.join(30)
    assert shelf.shards == [[str(path)]]


def test_many_threads_may_add(ledger: Catalogue, tmp_path: Path) -> None:
    paths = write_crawl(tmp_path / "crawl", 40)
    shelf = Shelf()
    with enqueuer(ledger, shelf) as made:
        threads = [
            threading.Thread(target=lambda n=n: [made.add(path) for path in paths[n::4]])  # type: ignore[misc]
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(path for shard in shelf.shards for path in shard) == [str(p) for p in paths]


RECORDS = [
    {"path": "a b.jpg", "url": "https://x/1", "shop": "one", "product_id": "0017"},
    {"path": "/else/where.jpg", "url": None, "shop": None, "product_id": None},
    {"path": "s3://bucket/c.jpg", "url": None, "shop": "two", "product_id": None},
]


def write_manifest(folder: Path, kind: str) -> Path:
    file = folder / f"crawl.{kind}"
    if kind == "csv":
        with file.open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.DictWriter(stream, [*RECORDS[0], "other"])
            writer.writeheader()
            writer.writerows(RECORDS)
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(record) + "\n\n" for record in RECORDS))
    else:
        pa.parquet.write_table(pa.Table.from_pylist(RECORDS), file)
    return file


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_manifest_of_each_kind(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a b.jpg").write_bytes(b"1234")
    found = list(read_manifest(write_manifest(tmp_path, kind)))
    assert [row.path for row in found] == [
        str(tmp_path / "a b.jpg"),
        "/else/where.jpg",
        "s3://bucket/c.jpg",
    ]
    assert [row.size for row in found] == [4, None, None]
    assert (found[0].url, found[0].shop, found[0].product_id) == ("https://x/1", "one", "0017")
    assert (found[1].url, found[1].shop, found[2].shop) == (None, None, "two")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.csv", "file,url\na,b\n", 'expected a column "path"'),
        ("m.csv", "path,url\n,b\n", "row 1: expected a text"),
        ("m.jsonl", '{"path": "a"}\n{"path": 3}\n', "row 2: expected a text"),
        ("m.jsonl", '{"path": "a"}\nno json\n', "line 2: expected JSON"),
        ("m.jsonl", "[1]\n", "line 1: expected an object"),
        ("m.parquet", "no parquet", "cannot be read as Parquet"),
        ("m.xls", "", "expected a manifest in .csv"),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        list(read_manifest(tmp_path / name))
