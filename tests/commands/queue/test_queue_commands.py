"""enqueue, status, requeue, cancel, quarantine, doctor, worker and up, on a real broker."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.queue.status import _queue
from tests.commands.running import lines, run
from tests.redis_server import RedisServer
from tests.worker.crawls import MODEL_NAME, write_crawl
from worker.queue import shard_times
from worker.settings import Resolved, Settings

pytestmark = [pytest.mark.servers]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis", data=False).start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, broker: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "XDG_CONFIG_HOME": str(tmp_path),
        "FASHION_CASCADE_BROKER_URL": broker.url,
        "FASHION_CASCADE_CATALOGUE_URL": f"sqlite:///{tmp_path / 'catalogue.db'}",
        "FASHION_CASCADE_MODEL": MODEL_NAME,
        "FASHION_CASCADE_ROOTS": str(tmp_path / "spring"),
        "FASHION_CASCADE_SHARD_SIZE": "4",
        "FASHION_CASCADE_BATCH_SIZE": "4",
        "FASHION_CASCADE_DEVICE": "cpu",
    }.items():
        monkeypatch.setenv(name, value)


def test_enqueue_status_cancel_requeue(tmp_path: Path, broker: RedisServer) -> None:
    paths = [str(path) for path in write_crawl(tmp_path / "spring", 10)]
    assert "10 pictures would be looked at" in run("enqueue", "spring", "--dry-run").stdout
    assert broker.shards() == []
    assert "10 looked at, 10 enqueued in 3 shards" in run("enqueue", "spring").stdout
    assert sorted(path for _, shard in broker.shards() for path in shard) == paths
    (status,) = lines(run("status", "--format", "jsonl"))
    (crawl,) = status["crawls"]
    assert (crawl["crawl"], crawl["enqueued"], crawl["pending"]) == ("spring", 10, 10)
    assert status["queue"] == {
        "waiting": 3,
        "taken": 0,
        "put_off": 0,
        "dead_letters": 0,
        "newest_dead_letter": "",
        "workers": {},
    }
    with sqlite3.connect(tmp_path / "catalogue.db") as connection:
        change = "UPDATE catalogue SET status = 'rejected', reason = 'missing' WHERE path IN (?, ?)"
        connection.execute(change, paths[:2])
        change = "UPDATE catalogue SET status = 'quarantined', reason = 'x' WHERE path = ?"
        connection.execute(change, paths[2:3])
    connection.close()
    table = run("status", "--no-queue", "--format", "table").stdout
    expected = "10 enqueued = 0 labelled + 2 rejected + 1 quarantined + 0 cancelled + 7 pending"
    assert expected in table
    assert "rejected as missing: 2" in table
    assert lines(run("quarantine", "list")) == [
        {"crawl": "spring", "path": paths[2], "attempts": 0}
    ]
    assert "1 picture released" in run("quarantine", "release", "--crawl", "spring").stdout
    with broker.client() as client:
        client.flushall()
    assert "spring: 2 pictures requeued" in run("requeue", "--rejected", "missing").stdout
    refused = run("requeue", "--stale", "0s", "--lost")
    assert "the queue is not empty" in refused.stderr
    with broker.client() as client:
        client.flushall()
    assert "spring: 10 pictures requeued" in run("requeue", "--stale", "0s", "--lost").stdout
    assert sorted(path for _, shard in broker.shards() for path in shard) == paths
    none = run("requeue", "--stale", "1h", "--lost", "--crawl", "spring")
    assert "spring: 0 pictures requeued" in none.stdout
    assert "the queue is not empty" in none.stderr
    assert "spring: 10 pictures pending and not stale: nobody has claimed them" in none.stderr
    assert "ended less than 1h ago; wait, or --lost takes those" in none.stderr
    assert "10 pictures cancelled" in run("cancel", "--crawl", "spring").stdout
    assert "10 looked at, 10 enqueued" in run("enqueue", "spring").stdout


def test_enqueued_pictures_have_their_shop(tmp_path: Path) -> None:
    (first, second) = write_crawl(tmp_path / "spring" / "asos", 2)
    run("enqueue", "spring", "--shop-from", "folder")
    (count,) = lines(run("stats", "--by", "shop", "--format", "jsonl"))
    assert (count["group"], count["status"], count["rows"]) == ("asos", "pending", 2)
    (tmp_path / "list.csv").write_text(f"path,shop\n{first},zara\n{second},\n")
    run("enqueue", "--manifest", "list.csv", "--crawl", "listed", "--shop", "other")
    found = lines(run("query", "--crawl", "listed", "--columns", "path,shop"))
    assert {row["path"]: row["shop"] for row in found} == {str(first): "zara", str(second): "other"}


def test_priorities_are_taken_in_order(tmp_path: Path, broker: RedisServer) -> None:
    write_crawl(tmp_path / "spring", 1)
    for priority in ("low", "high", "normal"):
        run("enqueue", "spring", "--crawl", priority, "--priority", priority)
    keys = [key for key, _ in broker.shards()]
    assert keys == [b"fashion-cascade", b"fashion-cascade\x06\x163", b"fashion-cascade\x06\x166"]


def test_usage_is_refused(tmp_path: Path) -> None:
    write_crawl(tmp_path / "spring", 1)
    run("enqueue", exit_code=2)
    run("enqueue", "-", "--follow", exit_code=2)
    run("requeue", exit_code=2)
    run("requeue", "--lost", "--rejected", "missing", exit_code=2)
    run("requeue", "--stale", "soon", exit_code=2)
    run("worker", "--roots", "", "--visibility-timeout", "1", exit_code=2)


def test_an_unreachable_broker_gives_exit_code_3(tmp_path: Path, broker: RedisServer) -> None:
    write_crawl(tmp_path / "spring", 1)
    broker.kill()
    result = run("enqueue", "spring", exit_code=3)
    assert "does not answer" in result.stderr
    assert "does not answer" in run("status", "--format", "table").stdout
    findings = {row["check"]: row for row in lines(run("doctor", exit_code=1))}
    assert findings["broker"]["level"] == "error"
    assert "fashion-cascade up" in findings["broker"]["fix"]


def test_status_without_a_queue_is_short(tmp_path: Path) -> None:
    write_crawl(tmp_path / "spring", 2)
    run("label", "spring")
    gone = "redis://127.0.0.1:1/0"  # no server listens on that port
    explicit = run("status", "--broker", gone, "--format", "table").stdout
    assert "does not answer" in explicit.splitlines()[-1]
    unset = Resolved(Settings(broker_url=gone), {"broker_url": "default"}, ())
    assert _queue(unset, pending=False) == {"error": f"none (no broker answers at {gone})"}
    assert "does not answer" in _queue(unset, pending=True)["error"]


def test_an_unknown_crawl_is_refused(tmp_path: Path) -> None:
    write_crawl(tmp_path / "spring", 1)
    run("label", "spring")
    result = run("cancel", "--crawl", "sprng", exit_code=2)
    message = "fashion-cascade: there is no crawl 'sprng'; the catalogue's crawls: spring\n"
    assert result.stderr == message
    assert result.stdout == ""


def test_doctor_suppresses_startup_messages_of_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import subprocess
    import sys

    monkeypatch.setenv("FASHION_CASCADE_DEVICE", "auto")
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "cli", "doctor"],
        env=dict(os.environ) | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"GPU"' in done.stdout
    for greeting in ("oneDNN", "cpu_feature_guard", "CPU instructions", "I0000", "absl::"):
        assert greeting not in done.stderr


def test_a_worker_refuses_settings_that_cannot_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_crawl(tmp_path / "spring", 1)
    assert "db upgrade" in run("worker", exit_code=4).stderr
    run("enqueue", "spring")
    assert "batch_size is 64" in run("worker", "--batch-size", "64", exit_code=2).stderr
    refused = run("worker", "--device", "gpu:0", "--pool-size", "2", exit_code=2).stderr
    assert "one process per GPU" in refused
    assert "no bundle there" in run("worker", "--model", "nowhere", exit_code=5).stderr
    monkeypatch.delenv("FASHION_CASCADE_ROOTS")
    assert "set FASHION_CASCADE_ROOTS" in run("worker", exit_code=2).stderr


def test_doctor_reports_each_fault_with_its_fix(tmp_path: Path, broker: RedisServer) -> None:
    write_crawl(tmp_path / "spring", 1)
    run("enqueue", "spring")
    findings = {row["check"]: row for row in lines(run("doctor"))}
    assert {row["level"] for row in findings.values()} <= {"ok", "warning"}
    assert findings["eviction policy"]["found"] == "noeviction"
    assert findings["SQLite journal"]["found"] == "wal"
    assert findings["broker data"]["level"] == "warning"
    with broker.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    (tmp_path / "spring" / "00000.png").unlink()
    findings = {row["check"]: row for row in lines(run("doctor", exit_code=1))}
    assert findings["eviction policy"]["level"] == "error"
    assert "noeviction" in findings["eviction policy"]["fix"]
    assert findings["root"]["level"] == "error"


def times(broker: RedisServer, *seconds: float, exit_code: int = 0) -> dict[str, dict[str, str]]:
    """The findings of `doctor` for shard times that workers recorded on the broker."""
    settings = Settings(broker_url=broker.url)
    with broker.client() as client:
        client.delete(shard_times.key(settings))
    for one in seconds:
        shard_times.record(settings, one)
    return {row["check"]: row for row in lines(run("doctor", exit_code=exit_code))}


def test_doctor_compares_timeouts_with_measured_shard_times(
    tmp_path: Path, broker: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_crawl(tmp_path / "spring", 1)
    run("enqueue", "spring")
    monkeypatch.setenv("FASHION_CASCADE_VISIBILITY_TIMEOUT", "400")
    monkeypatch.setenv("FASHION_CASCADE_SHARD_TIME_LIMIT", "200")
    assert "no shard measured yet" in times(broker)["visibility timeout"]["found"]
    found = times(broker, 3.0, 99.0, 5.0)
    assert found["visibility timeout"]["level"] == found["shard time limit"]["level"] == "ok"
    assert "the longest of the last 3 shards took 99.0 s" in found["visibility timeout"]["found"]
    found = times(broker, 180.0)
    assert found["visibility timeout"]["level"] == found["shard time limit"]["level"] == "warning"
    assert "VISIBILITY_TIMEOUT to 420" in found["visibility timeout"]["fix"]
    assert "SHARD_TIME_LIMIT to 360" in found["shard time limit"]["fix"]
    found = times(broker, 400.0, exit_code=1)
    assert found["visibility timeout"]["level"] == "error"
    assert "delivered to a second worker" in found["visibility timeout"]["fix"]


def test_only_the_last_shard_times_are_kept(broker: RedisServer) -> None:
    settings = Settings(broker_url=broker.url)
    for number in range(shard_times.MAX_KEPT + 5):
        shard_times.record(settings, number)
    kept = shard_times.recent(settings)
    assert (len(kept), kept[0]) == (shard_times.MAX_KEPT, shard_times.MAX_KEPT + 4)
    broker.kill()
    shard_times.record(settings, 1.0)  # the shard is in the catalogue: no reason to fail


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_up_takes_a_folder_to_labelled_rows(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    write_crawl(tmp_path / "spring", 10)
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "cli", "up", "spring", "--until-done"],
        env=dict(os.environ) | {"PYTHONPATH": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    log = (tmp_path / ".fashion-cascade" / "worker.log").read_text()
    assert done.returncode == 0, done.stderr + log
    assert "10 looked at, 10 enqueued" in done.stdout
    with sqlite3.connect(tmp_path / "catalogue.db") as connection:
        found = connection.execute("SELECT status, count(*) FROM catalogue GROUP BY 1").fetchall()
    connection.close()
    assert found == [("labelled", 10)]
