"""Durations, owners, log lines, settings that do not fit, and what a worker may read."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.concurrency import decode_threads
from worker.durations import seconds
from worker.errors import ModelUnusable, SettingsError
from worker.lease_owners import expire_dead, is_dead, space, this_owner
from worker.logs import JsonLines
from worker.memory_store import MemoryStore
from worker.model_loader import ModelShelf
from worker.queue.app import configuration
from worker.queue.lifecycle import set_threads_and_device
from worker.queue.tasks import allowed
from worker.settings import Settings


@pytest.mark.parametrize(
    ("text", "expected"), [("30s", 30), ("10m", 600), ("2h", 7200), ("1.5m", 90), ("1d", 86400)]
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "-1s", "ten", "5 weeks", "1h30m"])
def test_no_durations(text: str) -> None:
    with pytest.raises(SettingsError, match="expected a duration such as"):
        seconds(text)


def test_an_owner_is_dead_only_when_that_can_be_seen() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = this_owner(process.pid)
    assert not is_dead(owner)
    process.kill()
    process.wait()
    assert is_dead(owner)
    host, here, pid, start = this_owner().split(":")
    assert not is_dead(this_owner())
    assert is_dead(f"{host}:{here}:{pid}:{int(start) - 500}")  # the number was used again
    assert not is_dead(f"{host}:{'0' * len(space())}:999999:1")  # another machine or container
    assert not is_dead("somebody")
    if process.stdin is not None:
        process.stdin.close()


def test_only_leases_of_the_dead_expire() -> None:
    store = MemoryStore(clock=lambda: 0.0)
    from db.records import FileState

    dead = f"h:{space()}:{2**22 + 5}:1"
    store.claim("x", [FileState("/a")], dead, 60.0, "m")
    store.claim("x", [FileState("/b")], "another:0000:1:1", 60.0, "m")
    assert expire_dead(store) == 1
    claim = store.claim("x", [FileState("/a"), FileState("/b")], "me", 60.0, "m")
    assert ([f.path for f in claim.suspects], claim.busy) == (["/a"], ["/b"])


def test_settings_that_cap_each_other_are_refused_by_both_names() -> None:
    with pytest.raises(SettingsError, match=r"visibility_timeout is 100 s and shard_time_limit"):
        Settings(visibility_timeout=100, shard_time_limit=60, lease_seconds=10)
    with pytest.raises(SettingsError, match=r"lease_seconds is 300 s and visibility_timeout"):
        Settings(visibility_timeout=200, shard_time_limit=60)


def test_celery_is_set_as_the_known_failures_ask() -> None:
    conf = configuration(Settings())
    assert conf["task_acks_late"] is True
    assert conf["worker_prefetch_multiplier"] == 1
    assert conf["worker_pool_start_method"] == "spawn"
    assert conf["task_retry_on_worker_lost"] is True
    assert "task_reject_on_worker_lost" not in conf  # loops for ever on a poison message
    assert conf["broker_transport_options"]["visibility_timeout"] >= 2 * conf["task_time_limit"]


def test_a_worker_pins_its_gpu_lets_memory_grow_and_shares_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for device, visible in (("gpu:1", "1"), ("cpu", "-1"), ("auto", None)):
        monkeypatch.setattr("os.environ", {})
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
        settings = Settings(device=device, pool_size=1 if device == "gpu:1" else 4)
        set_threads_and_device(settings)
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
        assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        threads = "8" if device == "gpu:1" else "2"
        assert os.environ["TF_NUM_INTRAOP_THREADS"] == os.environ["OMP_NUM_THREADS"] == threads
        assert decode_threads(settings) == int(threads)


def test_json_log_lines_name_crawl_and_shard() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "%s done", ("it",), None)
    record.crawl, record.shard = "spring", "abc"
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["crawl"], line["shard"]) == ("it done", "spring", "abc")
    assert line["time"].endswith("+00:00")


def test_a_message_cannot_widen_the_roots(tmp_path: Path) -> None:
    for name in ("data/crawl", "private"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "private")
    own = (str(tmp_path / "data"),)
    inside = str(tmp_path / "data" / "crawl")
    assert allowed((inside,), own) == (inside,)
    assert allowed((), own) == own
    assert allowed((str(tmp_path / "private"),), own) == own
    assert allowed((inside, "/"), own) == own
    assert allowed((str(tmp_path / "data" / "link"),), own) == own
    assert allowed((str(tmp_path / "data" / ".." / "private"),), own) == own
    assert allowed(("s3://b/x/y",), ("s3://b/x",)) == ("s3://b/x/y",)
    assert allowed(("s3://b/xy",), ("s3://b/x",)) == ("s3://b/x",)


def test_a_worker_says_which_model_a_message_wants() -> None:
    shelf = ModelShelf("constant:glasses/optical")
    assert shelf.get(None) is shelf.default()
    with pytest.raises(ModelUnusable, match="a message wants model abc"):
        shelf.get("abc")
