"""The exporter's gauges of a queue with waiting, taken, put off and unreadable messages."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.conftest import RunningExporter
from tests.redis_server import RedisServer
from tests.worker.crawls import write_crawl

pytestmark = pytest.mark.servers


def values(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name.removeprefix("fashion_cascade_"): float(value) for name, value in lines}


def test_all_gauges_from_start_to_end(
    exporter: RunningExporter, broker: RedisServer, tmp_path: Path
) -> None:
    before = values(exporter.scrape())
    assert (before["broker_up"], before["catalogue_up"]) == (1, 0)  # nobody made a catalogue
    assert not any(name.startswith("ledger_rows") for name in before)

    write_crawl(tmp_path / "pictures", 5)
    write_crawl(tmp_path / "more", 3, first=5)
    exporter.run("db", "upgrade")
    exporter.run("enqueue", str(tmp_path / "pictures"), "--crawl", "spring")
    exporter.run("enqueue", str(tmp_path / "more"), "--crawl", "autumn", "--priority", "high")
    with broker.client() as client:
        message = json.loads(client.lindex("fashion-cascade", 0))
        message["headers"]["eta"] = "2999-01-01T00:00:00+00:00"
        taken = {"one": json.dumps([message, "", "fashion-cascade"]), "two": "no shard"}
        client.hset("unacked", mapping=taken)
        client.zadd("unacked_index", {"one": time.time() - 100, "two": time.time() - 10})
        client.lpush("dead-letters.fashion-cascade", "{}")
    found = values(exporter.scrape())
    assert (found["broker_up"], found["catalogue_up"]) == (1, 1)
    assert found['queue_length{priority="high"}'] == 1
    assert found['queue_length{priority="normal"}'] == 1
    assert found['queue_length{priority="low"}'] == 0
    assert (found["taken_messages"], found["put_off_messages"], found["dead_letters"]) == (2, 1, 1)
    assert 100 <= found["oldest_taken_seconds"] < 200
    assert found["put_off_due_seconds"] > 9e8
    assert found['ledger_rows{crawl="spring",status="pending"}'] == 5
    assert found['ledger_rows{crawl="autumn",status="pending"}'] == 3
    assert 0 < found["oldest_pending_seconds"] < 300
    assert 0 < found["disk_free_ratio"] < 1
    assert 0 < found["catalogue_seconds"] < 60

    broker.kill()
    gone = values(exporter.scrape())
    assert (gone["broker_up"], gone["catalogue_up"]) == (0, 1)
    assert not any(name.startswith("queue_length") for name in gone)
    broker.start()
    assert values(exporter.scrape())["broker_up"] == 1
    assert exporter.stop() == 0


def test_a_port_that_is_taken_is_said_in_one_line(exporter: RunningExporter) -> None:
    port = exporter.url.rsplit(":", 1)[1].split("/")[0]
    done = subprocess.run(
        [sys.executable, "-m", "cli", "exporter", "--port", port],
        env=exporter.environ,
        cwd=exporter.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"fashion-cascade: cannot listen on 127.0.0.1:{port}")
    assert done.stderr.count("\n") == 1
