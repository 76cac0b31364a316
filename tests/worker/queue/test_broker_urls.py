"""Unix sockets and TLS, in the URLs that Celery has for them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.servers import PostgresServer
from tests.tls_proxy import certificate, tls_proxy
from tests.worker.crawls import Crawl
from tests.worker.queues import SECONDS, Queue
from worker.enqueue import CeleryPublisher
from worker.errors import BrokerUnreachable
from worker.queue import broker
from worker.queue.broker_urls import client_url
from worker.settings import Settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:p%40ss@h:1/2", "redis://:p%40ss@h:1/2"),
        ("redis+socket:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis+socket://:pw@/run/r.sock?virtual_host=2", "unix://:pw@/run/r.sock?db=2"),
        ("rediss://h/0?ssl_cert_reqs=CERT_REQUIRED", "rediss://h/0?ssl_cert_reqs=required"),
        ("rediss://h/0?ssl_cert_reqs=none", "rediss://h/0?ssl_cert_reqs=none"),
    ],
)
def test_url_for_the_client_library(url: str, expected: str) -> None:
    assert client_url(url) == expected


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The path of a Unix socket has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="fashion-") as name:
        yield Path(name)


def publish(settings: Settings) -> int:
    """Messages that wait after one more was published."""
    publisher = CeleryPublisher(settings)
    publisher.publish("spring", ["/a.jpg"], roots=(), model_version=None, priority="normal")
    publisher.close()
    return broker.queue_length(settings)


@pytest.mark.servers
def test_tls_with_a_certificate_that_is_checked(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", password="p@ss").start()
    own, key = certificate(tmp_path / "own")
    other, _ = certificate(tmp_path / "other")
    try:
        with tls_proxy(server.port, own, key) as port:
            url = f"rediss://:p%40ss@localhost:{port}/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs="
            assert publish(Settings(broker_url=f"{url}{own}")) == 1
            stranger = Settings(broker_url=f"{url}{other}")
            with pytest.raises(BrokerUnreachable, match="(?i)certificate"):
                broker.queue_length(stranger)
            with pytest.raises(BrokerUnreachable, match="(?i)certificate"):
                publish(stranger)
    finally:
        server.kill()


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS)
def test_queue_over_a_unix_socket(
    tmp_path: Path, short_folder: Path, postgres: PostgresServer, crawl: Crawl, fault_model: str
) -> None:
    socket = short_folder / "redis.sock"
    server = RedisServer(tmp_path / "redis", password="pw", socket=socket).start()
    queue = Queue(tmp_path, server, postgres.new_url(), fault_model)
    url = f"redis+socket://:pw@{socket}?virtual_host=0"
    queue.environ["FASHION_CASCADE_BROKER_URL"] = url
    try:
        assert publish(Settings(broker_url=url, queue="another")) == 1
        queue.run("db", "upgrade")
        expected = queue.fill(crawl, 64)
        worker = queue.start_worker()
        queue.wait_for_some()
        with server.client() as client:  # a replica for a while: the worker waits
            client.replicaof("127.0.0.1", "1")
            client.replicaof("NO", "ONE")
        queue.wait_for_the_end()
        queue.check(expected)
        queue.stop(worker)
    finally:
        queue.close()
        server.kill()
