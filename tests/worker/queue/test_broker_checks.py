"""`doctor` on brokers that tell little: managed ones without CONFIG and INFO, and replicas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import RedisServer
from worker.queue.broker_checks import check_broker
from worker.queue.health_checks import CheckResult
from worker.settings import Settings

pytestmark = pytest.mark.servers


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    started = RedisServer(tmp_path / "redis").start()
    yield started
    started.kill()


def checks(server: RedisServer) -> dict[str, CheckResult]:
    return {found.check: found for found in check_broker(Settings(broker_url=server.url))}


def test_broker_that_tells_all_is_fine(server: RedisServer) -> None:
    found = checks(server)
    assert {result.level for result in found.values()} == {"ok"}
    assert found["broker"].found == "accepts messages"
    with server.client() as client:
        assert client.keys("*") == []  # the probe leaves nothing


def test_managed_broker_without_config_and_info_is_not_down(server: RedisServer) -> None:
    with server.client() as client:
        untyped: Any = client
        untyped.acl_setuser("default", commands=["-config", "-info", "-time"])
        untyped.acl_setuser("default", enabled=True)
    found = checks(server)
    assert found["broker"].level == "ok"
    assert found["broker version"].found == "the broker does not tell"
    assert (found["eviction policy"].level, found["broker data"].level) == ("warning", "ok")
    assert "clock of the broker" not in found
    assert not [result for result in found.values() if result.level == "error"]


def test_policy_is_read_from_info_where_there_is_no_config(server: RedisServer) -> None:
    with server.client() as client:
        untyped: Any = client
        untyped.config_set("maxmemory-policy", "allkeys-lru")
        untyped.acl_setuser("default", enabled=True, commands=["-config"])
    found = checks(server)["eviction policy"]
    assert (found.level, found.found) == ("error", "allkeys-lru")


def test_replica_is_named_as_one(server: RedisServer, tmp_path: Path) -> None:
    primary = RedisServer(tmp_path / "primary").start()
    try:
        with server.client() as client:
            client.replicaof("127.0.0.1", str(primary.port))
        found = checks(server)["broker"]
    finally:
        primary.kill()
    assert found.level == "error"
    assert "read only" in found.found
    assert "name the primary" in found.fix


def test_full_broker_refuses_messages(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("maxmemory", "1")
    found = checks(server)["broker"]
    assert found.level == "error"
    assert "maxmemory" in found.found
    assert "full memory" in found.fix
