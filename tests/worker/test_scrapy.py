"""A real Scrapy run against a local site: the pipeline enqueues, and the feeds are labelled."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.queries import Filter, rows
from db.records import NOT_DOWNLOADED, Row
from tests.commands.running import run
from tests.redis_server import RedisServer
from tests.worker.crawls import MODEL_NAME, write_crawl
from worker.errors import InputError
from worker.sources.feeds import NO_RESULT, read_feed

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
ABSENT = "none.png"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@dataclass(frozen=True)
class Crawled:
    """What one run of the spider left: its site, its store and feeds, catalogue and messages."""

    site: str
    store: Path
    feeds: Path
    catalogue: str
    shards: list[list[str]]
    log: str

    def stored(self, name: str) -> str:
        digest = hashlib.sha1(f"{self.site}{name}".encode(), usedforsecurity=False).hexdigest()
        return str(self.store / "full" / f"{digest}.jpg")


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    """Two products; the second has a picture that the site does not have."""
    folder = tmp_path_factory.mktemp("scrapy")
    site = folder / "site"
    write_crawl(site, 3)
    (site / "index.html").write_text(
        "<ul><li id=p1><img src=00000.png><img src=00001.png></li>"
        f"<li id=p2><img src=00002.png><img src={ABSENT}></li></ul>"
    )
    (store := folder / "store").mkdir()
    handler = functools.partial(Quiet, directory=str(site))
    broker = RedisServer(folder / "redis", data=False).start()
    url = f"sqlite:///{folder / 'catalogue.db'}"
    try:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}/"
            spider = [sys.executable, "-m", "tests.worker.scrapy_spider"]
            given = [address, str(store), str(folder), broker.url, url, MODEL_NAME]
            done = subprocess.run(
                [*spider, *given],
                cwd=ROOT,
                env={**os.environ, "PYTHONWARNINGS": "default"},
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
            server.shutdown()
        shards = [paths for _, paths in broker.shards()]
    finally:
        broker.kill()
    yield Crawled(address, store, folder, url, shards, done.stderr)


def rows_of(url: str) -> dict[str, Row]:
    catalogue = Catalogue.open(url)
    try:
        return {row.path: row for row in rows(catalogue.engine, Filter())}
    finally:
        catalogue.close()


def test_the_pipeline_enqueues_each_picture_with_its_product(crawled: Crawled) -> None:
    found = rows_of(crawled.catalogue)
    products = {"00000.png": "p1", "00001.png": "p1", "00002.png": "p2"}
    stored = {crawled.stored(name): product for name, product in products.items()}
    pending = {path: row for path, row in found.items() if row.status == "pending"}
    assert {path: row.product_id for path, row in pending.items()} == stored
    assert {row.shop for row in found.values()} == {"a shop"}
    assert {row.crawl for row in found.values()} == {"spring"}
    assert sorted(path for shard in crawled.shards for path in shard) == sorted(stored)


def test_a_failed_download_becomes_a_row_with_its_reason(crawled: Crawled) -> None:
    row = rows_of(crawled.catalogue)[crawled.stored(ABSENT)]
    assert (row.status, row.reason, row.detail) == ("rejected", NOT_DOWNLOADED, NO_RESULT)
    assert row.url == f"{crawled.site}{ABSENT}"


def test_scrapy_warns_of_nothing_in_the_pipeline(crawled: Crawled) -> None:
    assert "FashionCascadePipeline" in crawled.log  # it lists its pipelines
    about = [line for line in crawled.log.splitlines() if "Warning" in line]
    assert not [line for line in about if "FashionCascade" in line or "scrapy_pipeline" in line]
    assert "fashion_cascade/errors" not in crawled.log


@pytest.mark.parametrize("kind", ["jl", "csv", "json"])
def test_each_feed_is_labelled_once(crawled: Crawled, kind: str, tmp_path: Path) -> None:
    feed = str(crawled.feeds / f"items.{kind}")
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    given = ["--images-store", str(crawled.store), "--crawl", "spring", "--model", MODEL_NAME]
    command = ["label", "--manifest", feed, *given, "--catalogue", url]
    first = run(*command, exit_code=1)
    assert "labelled 3, rejected 1" in first.stderr
    assert f"rejected as {NOT_DOWNLOADED}: 1" in first.stderr
    assert "nothing to do: 4 pictures done before" in run(*command).stderr
    found = rows_of(url)
    assert found[crawled.stored(ABSENT)].url == f"{crawled.site}{ABSENT}"
    assert found[crawled.stored("00000.png")].product_id == "p1"


def test_a_picture_that_a_later_crawl_downloads_is_labelled(
    catalogue_url: str, tmp_path: Path
) -> None:
    """The same path, first without a result and then with one, on either database."""
    address = "https://shop/1.jpg"
    name = f"full/{hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()}.jpg"
    (path,) = write_crawl(tmp_path / "elsewhere", 1)
    (store := tmp_path / "store" / "full").mkdir(parents=True)
    feed = tmp_path / "items.jl"
    command = ["label", "--manifest", str(feed), "--images-store", str(store.parent)]
    command += ["--model", MODEL_NAME, "--catalogue", catalogue_url]
    feed.write_text(f'{{"image_urls": ["{address}"], "images": []}}\n')
    run(*command, exit_code=1)
    assert [row.reason for row in rows_of(catalogue_url).values()] == [NOT_DOWNLOADED]
    path.rename(store.parent / name)
    feed.write_text(
        f'{{"image_urls": ["{address}"], "images": [{{"url": "{address}", "path": "{name}", '
        '"checksum": "0", "status": "downloaded"}]}\n'
    )
    assert "labelled 1" in run(*command).stderr
    assert [row.status for row in rows_of(catalogue_url).values()] == ["labelled"]


def test_a_path_that_leads_out_of_the_store_is_rejected(tmp_path: Path) -> None:
    write_crawl(tmp_path / "private", 1)
    (tmp_path / "store").mkdir()
    write_crawl(tmp_path / "store", 1, first=1)
    feed = tmp_path / "items.jl"
    feed.write_text(
        '{"images": [{"url": "https://shop/1", "path": "../private/00000.png", '
        '"status": "downloaded"}]}\n'
    )
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    given = ["--images-store", str(tmp_path / "store"), "--model", MODEL_NAME, "--catalogue", url]
    run("label", "--manifest", str(feed), *given, exit_code=1)
    assert [row.reason for row in rows_of(url).values()] == ["outside_root"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"images": 5}', "expected a list"),
        ('{"images": ["full/1.jpg"]}', "expected objects with url, path and status"),
        ('{"images": [{"status": "downloaded"}]}', "expected a path"),
        ('{"images": "[[[["}', "expected a list as Scrapy writes it"),
        ('{"image_urls": [["x"]]}', "items.jl, line 1"),
    ],
)
def test_an_item_that_is_none_is_refused_with_its_line(
    tmp_path: Path, line: str, words: str
) -> None:
    (tmp_path / "items.jl").write_text(f"{line}\n")
    with pytest.raises(InputError, match=words):
        list(read_feed(tmp_path / "items.jl", str(tmp_path)))


def test_a_store_that_is_absent_is_said(tmp_path: Path) -> None:
    (tmp_path / "items.jl").write_text('{"images": []}\n')
    given = ["--images-store", str(tmp_path / "none"), "--model", MODEL_NAME]
    done = run("label", "--manifest", str(tmp_path / "items.jl"), *given, exit_code=2)
    assert "expected the folder of IMAGES_STORE" in done.stderr
