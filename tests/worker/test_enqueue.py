"""Into the ledger and onto a real queue: manifests, batches by number and time, back-pressure."""

from __future__ import annotations

import contextlib
import csv
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy as sa

from db.catalogue import Catalogue
from db.errors import CatalogueError
from db.queries import Filter, rows
from db.records import Outcome
from tests.redis_server import RedisServer
from tests.servers import wait_until
from tests.worker.crawls import MODEL_NAME, write_crawl
from worker.enqueue import Enqueuer
from worker.errors import BrokerUnreachable, InputError
from worker.model_loader import open_model
from worker.settings import Settings
from worker.sources.manifest import read_crawl_manifest

pytestmark = pytest.mark.servers

CRAWL = "spring"
MOST_MESSAGES = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One broker for the module; each test finds it empty."""
    started = RedisServer(tmp_path_factory.mktemp("redis"), data=False).start()
    yield started
    started.kill()


@pytest.fixture
def broker(server: RedisServer) -> Iterator[RedisServer]:
    with server.client() as client:
        client.flushall()
    yield server
    if server.process is None:  # a test ended it
        server.start()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}")
    yield opened
    opened.close()


def enqueuer(ledger: Catalogue, broker: RedisServer, flush_seconds: float = 0.0) -> Enqueuer:
    """For shards of ten paths; published by number only, unless a time is given."""
    settings = Settings(
        broker_url=broker.url, model=MODEL_NAME, shard_size=10, max_queue_length=MOST_MESSAGES
    )
    return Enqueuer(CRAWL, settings=settings, catalogue=ledger, flush_seconds=flush_seconds)


def published(broker: RedisServer) -> list[list[str]]:
    """The paths of each message, in the order in which workers take them."""
    return [paths for _, paths in broker.shards()]


def pending(ledger: Catalogue) -> list[str]:
    return sorted(row.path for row in rows(ledger.engine, Filter()) if row.status == "pending")


def test_rows_are_there_and_shards_hold_each_path_once(
    ledger: Catalogue, broker: RedisServer, tmp_path: Path
) -> None:
    paths = [str(path) for path in write_crawl(tmp_path / "crawl", 25)]
    with enqueuer(ledger, broker) as made:
        for path in paths:
            made.add(path, shop="a shop", url=f"https://shop/{path}")
    assert published(broker) == [paths[:10], paths[10:20], paths[20:]]
    assert pending(ledger) == paths
    assert {row.shop for row in rows(ledger.engine, Filter())} == {"a shop"}
    assert (made.seen, made.queued, made.shards) == (25, 25, 3)


def test_what_is_done_is_not_published_again(
    ledger: Catalogue, broker: RedisServer, tmp_path: Path
) -> None:
    paths = [str(path) for path in write_crawl(tmp_path / "crawl", 4)]
    with enqueuer(ledger, broker) as made:
        for path in paths:
            made.add(path)
    done = [Outcome(path, "rejected", None, None, None, "empty") for path in paths[:2]]
    ledger.store(CRAWL, "me", open_model(MODEL_NAME).version, done)
    with broker.client() as client:
        client.flushall()
    with enqueuer(ledger, broker) as made:
        for path in paths:
            made.add(path)
    assert published(broker) == [paths[2:]]
    assert (made.seen, made.queued) == (4, 2)


def test_rows_stay_when_the_broker_is_gone(
    ledger: Catalogue, broker: RedisServer, tmp_path: Path
) -> None:
    (path,) = write_crawl(tmp_path / "crawl", 1)
    made = enqueuer(ledger, broker)
    made.add(path)
    broker.kill()
    with pytest.raises(BrokerUnreachable):
        made.close()
    assert pending(ledger) == [str(path)]


def test_few_paths_are_published_after_the_flush_time(
    ledger: Catalogue, broker: RedisServer, tmp_path: Path
) -> None:
    (path,) = write_crawl(tmp_path / "crawl", 1)
    with enqueuer(ledger, broker, flush_seconds=0.02) as made:
        made.add(path)
        wait_until(lambda: published(broker) == [[str(path)]], "the path to be published")


def test_an_error_in_the_background_reaches_the_caller(
    ledger: Catalogue, broker: RedisServer, tmp_path: Path
) -> None:
    one, two = write_crawl(tmp_path / "crawl", 2)
    made = enqueuer(ledger, broker, flush_seconds=0.02)
    broker.kill()
    made.add(one)
    wait_until(lambda: made._error is not None, "the background to fail")
    with pytest.raises(BrokerUnreachable):
        made.add(two)
    broker.start()
    with contextlib.suppress(BrokerUnreachable):  # the background may have failed again
        made.close()
    assert pending(ledger) == [str(one), str(two)]


REFUSED = (CatalogueError, sa.exc.SQLAlchemyError)


def refuse_rows(ledger: Catalogue) -> None:
    """The database refuses new rows, until `take_rows`."""
    with ledger.engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TRIGGER no_rows BEFORE INSERT ON catalogue "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        )


def take_rows(ledger: Catalogue) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER no_rows"))


def test_a_failed_flush_keeps_its_rows(
    ledger: Catalogue, broker: RedisServer, tmp_path: Path
) -> None:
    paths = [str(path) for path in write_crawl(tmp_path / "crawl", 2)]
    with enqueuer(ledger, broker) as made:
        for path in paths:
            made.add(path)
        refuse_rows(ledger)
        with pytest.raises(REFUSED):
            made.flush()
        take_rows(ledger)
    assert published(broker) == [paths]
    assert pending(ledger) == paths


def test_the_background_goes_on_after_an_error(
    ledger: Catalogue, broker: RedisServer, tmp_path: Path
) -> None:
    (path,) = write_crawl(tmp_path / "crawl", 1)
    made = enqueuer(ledger, broker, flush_seconds=0.02)
    refuse_rows(ledger)
    made.add(path)
    wait_until(lambda: made._error is not None, "the background to fail")
    take_rows(ledger)
    wait_until(lambda: published(broker) == [[str(path)]], "the path to be published")
    with pytest.raises(REFUSED):
        made.close()


def test_an_exception_in_the_block_drops_nothing(
    ledger: Catalogue, broker: RedisServer, tmp_path: Path
) -> None:
    (path,) = write_crawl(tmp_path / "crawl", 1)
    with pytest.raises(ZeroDivisionError), enqueuer(ledger, broker) as made:
        made.add(path)
        raise ZeroDivisionError
    assert published(broker) == [[str(path)]]


def test_it_waits_while_the_queue_is_too_long(
    ledger: Catalogue, broker: RedisServer, tmp_path: Path
) -> None:
    (path,) = write_crawl(tmp_path / "crawl", 1)
    with broker.client() as client:
        for _ in range(MOST_MESSAGES):
            client.lpush("fashion-cascade", "a message of somebody else")
        client.config_resetstat()
        made = enqueuer(ledger, broker)
        made.add(path)
        closing = threading.Thread(target=made.close)
        closing.start()
        wait_until(lambda: "cmdstat_llen" in client.info("commandstats"), "it to ask")
        assert client.llen("fashion-cascade") == MOST_MESSAGES  # the message waits
        assert client.llen("fashion-cascade\x06\x163") == 0
        assert pending(ledger) == [str(path)]  # the row is in the ledger
        client.delete("fashion-cascade")
    closing.join(30)
    assert published(broker) == [[str(path)]]


def test_many_threads_may_add(ledger: Catalogue, broker: RedisServer, tmp_path: Path) -> None:
    paths = write_crawl(tmp_path / "crawl", 40)
    with enqueuer(ledger, broker) as made:
        threads = [
            threading.Thread(target=lambda n=n: [made.add(path) for path in paths[n::4]])  # type: ignore[misc]
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(path for shard in published(broker) for path in shard) == [str(p) for p in paths]


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
def test_a_manifest_in_each_format(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a b.jpg").write_bytes(b"1234")
    found = list(read_crawl_manifest(write_manifest(tmp_path, kind)))
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
        ("m.csv", "path,url\n,b\n", "line 2: expected a text"),
        ("m.jsonl", '{"path": "a"}\n{"path": 3}\n', "line 2: expected a text"),
        ("m.jsonl", '{"path": "a"}\nno json\n', "line 2: expected JSON"),
        ("m.jsonl", "[1]\n", "line 1: expected an object"),
        ("m.jsonl", '"x"\n', "line 1: expected an object"),
        ("m.parquet", "no parquet", "cannot be read as Parquet"),
        ("m.xls", "", "expected a manifest in .csv"),
    ],
)
def test_an_invalid_manifest_is_refused(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        list(read_crawl_manifest(tmp_path / name))
