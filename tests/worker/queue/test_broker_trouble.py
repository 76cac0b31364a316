"""A broker that refuses, falls silent, or holds entries that are no messages: a worker goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import kombu
import pytest
import redis

from tests.faults.proxy import Proxy
from tests.redis_server import RedisServer, free_port
from tests.servers import wait_until
from tests.worker.crawls import write_crawl
from tests.worker.queue.test_messages import BAD
from tests.worker.queues import SECONDS, Queue
from worker.queue import transport

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(SECONDS)]

PICTURES = 40


@pytest.fixture
def queue(tmp_path: Path, broker: RedisServer) -> Iterator[Queue]:
    """A queue over SQLite with a model that needs no networks."""
    made = Queue(tmp_path, broker, f"sqlite:///{tmp_path / 'catalogue.db'}")
    made.environ |= {"FASHION_CASCADE_SHARD_SIZE": "8", "FASHION_CASCADE_POOL_SIZE": "1"}
    yield made
    made.close()


def enqueue(queue: Queue) -> None:
    write_crawl(queue.pictures, PICTURES)
    queue.run("enqueue", queue.pictures, "--crawl", "spring")


def end_well(queue: Queue) -> None:
    """All is labelled, by the worker that met the trouble."""
    queue.wait_for_the_end()
    assert queue.statuses() == {"labelled": PICTURES}
    assert queue.workers[0].poll() is None
    assert "Unrecoverable" not in queue.logs()


def test_entries_that_are_no_messages_become_dead_letters(
    queue: Queue, broker: RedisServer
) -> None:
    enqueue(queue)
    with broker.client() as client:
        client.rpush("fashion-cascade", *(bad for bad, _ in BAD))  # taken first
    queue.start_worker()
    end_well(queue)
    with broker.client() as client:
        kept = [
            json.loads(letter) for letter in client.lrange("dead-letters.fashion-cascade", 0, -1)
        ]
    assert len(kept) == len(BAD)
    for letter, (_, reason) in zip(kept, BAD, strict=True):
        assert letter["reason"].startswith(reason)
    assert "Traceback" not in queue.logs()
    shown = json.loads(queue.run("status", "--format", "jsonl"))["queue"]
    assert shown["dead_letters"] == len(BAD)
    assert f"dead letters: {len(BAD)} messages" in queue.run("status", "--format", "table")
    doctor = [json.loads(line) for line in queue.run("doctor", "--format", "jsonl").splitlines()]
    assert [row["level"] for row in doctor if row["check"] == "dead letters"] == ["warning"]


def readonly(client: redis.Redis, _: RedisServer) -> Callable[[], object]:
    """A failover made the server a replica."""
    client.execute_command("REPLICAOF", "127.0.0.1", free_port())
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def out_of_memory(client: redis.Redis, _: RedisServer) -> Callable[[], object]:
    client.config_set("maxmemory", 1)
    return lambda: client.config_set("maxmemory", 0)


def failed_snapshot(client: redis.Redis, broker: RedisServer) -> Callable[[], object]:
    target = broker.folder / "dump.rdb"
    (target / "x").mkdir(parents=True)
    client.config_set("save", "900 1")
    client.bgsave()

    def end() -> None:
        (target / "x").rmdir()
        target.rmdir()
        client.config_set("save", "")

    return end


@pytest.mark.parametrize("trouble", [readonly, out_of_memory, failed_snapshot])
@pytest.mark.parametrize("idle", [False, pytest.param(True, marks=pytest.mark.heavy)])
def test_refusals_that_pass_are_waited_for(
    queue: Queue,
    broker: RedisServer,
    trouble: Callable[[redis.Redis, RedisServer], Callable[[], object]],
    idle: bool,
) -> None:
    if not idle:
        enqueue(queue)
    queue.run("db", "upgrade")
    queue.start_worker(SLOW="0.1")
    if idle:
        queue.wait(lambda: " ready." in queue.logs(), "a worker that is ready")
    else:
        queue.wait_for_some()
    with broker.client() as client:
        end = trouble(client, broker)
        queue.wait(lambda: "the broker refuses" in queue.logs(), "the worker to notice")
        end()
    if idle:
        enqueue(queue)
    end_well(queue)
    assert "Redis error, will retry" not in queue.logs()  # Kombu's words, before a traceback


@pytest.mark.parametrize("mode", [pytest.param("silence", marks=pytest.mark.heavy), "half_close"])
def test_connections_that_fall_silent_are_given_up(
    queue: Queue, broker: RedisServer, mode: str
) -> None:
    """A message that was on its way through a silent connection is lost: its rows are found."""
    enqueue(queue)
    proxy = Proxy(("127.0.0.1", broker.port))
    url = f"redis://127.0.0.1:{proxy.port}/0"
    try:
        queue.start_worker(SLOW="0.1", FASHION_CASCADE_BROKER_URL=url)
        queue.wait_for_some()
        proxy.damage(mode)
        proxy.restore()  # new connections are good
        queue.wait(queue.is_empty, "the worker to go on with what waits")
        queue.run("requeue", "--stale", "0s", "--lost")  # as workers do after ten minutes
        end_well(queue)
    finally:
        proxy.close()


@pytest.mark.parametrize("trouble", [readonly, out_of_memory, failed_snapshot])
def test_a_script_that_is_refused_in_a_transaction_is_known_as_passing(
    broker: RedisServer, trouble: Callable[[redis.Redis, RedisServer], Callable[[], object]]
) -> None:
    """Kombu renews its queues with one, and logs a traceback a second of what is not known."""
    with broker.client() as client:
        end = trouble(client, broker)

        def refused() -> redis.ResponseError | None:
            with client.pipeline() as pipe:
                pipe.eval("return redis.call('SET', KEYS[1], '1')", 1, "key")
                try:
                    pipe.execute()
                except redis.ResponseError as error:
                    return error
                return None

        wait_until(lambda: refused() is not None, "the refusal")  # the snapshot takes a moment
        error = refused()
        assert error is not None and transport.is_passing(error)
        end()
        wrong = redis.ResponseError("WRONGTYPE Operation against a key: READONLY")
        assert not transport.is_passing(wrong)


def test_a_wait_that_a_failover_ends_is_a_lost_connection(broker: RedisServer) -> None:
    """The server answers a blocked command with UNBLOCKED when it becomes a replica."""
    connection = transport._Connection(host="127.0.0.1", port=broker.port, socket_timeout=30)
    connection.connect()
    try:
        connection.send_command("BRPOP", "nothing", 0)
        with broker.client() as client:
            wait_until(lambda: client.info("clients")["blocked_clients"] == 1, "a blocked client")
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(transport.BrokerRefuses, match="UNBLOCKED"):
            connection.read_response()
    finally:
        connection.disconnect()


def test_what_is_done_with_a_closed_connection_is_a_lost_connection(broker: RedisServer) -> None:
    """Kombu gives messages back and acknowledges them after another loss closed the connection."""
    transport.install()
    connection = kombu.Connection(f"redis://127.0.0.1:{broker.port}/0")
    connection.default_channel.basic_get("nothing")
    channel = connection.default_channel
    connection.transport.client = None  # as `Connection.collect` does
    channel._pool = None
    with pytest.raises(connection.connection_errors, match="was closed"):
        channel.qos.ack("tag")
    with pytest.raises(connection.connection_errors, match="was closed"):
        channel.qos.restore_by_tag("tag")
    transport._finished.discard("tag")


def test_a_reply_that_nobody_waits_for_any_more_is_a_lost_connection(broker: RedisServer) -> None:
    """A timer of Kombu asks on a connection that a stop is closing."""
    connection = transport._Connection(host="127.0.0.1", port=broker.port, socket_timeout=30)
    connection.connect()
    connection.send_command("PING")
    connection._parser._buffer._buffer.close()
    with pytest.raises(transport.LostConnection, match="was closed"):
        connection.read_response()
    connection.disconnect()
