"""`up` in a process: its exit code when everything is done, and when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import psutil
import pytest
import redis

from tests.commands.running import run
from tests.redis_server import RedisServer
from tests.worker.crawls import MODEL_NAME, write_crawl

pytestmark = [pytest.mark.servers, pytest.mark.slow]
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("FASHION_CASCADE_MODEL", MODEL_NAME)
    monkeypatch.setenv("FASHION_CASCADE_DEVICE", "cpu")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_crawl(tmp_path / "spring", 3)


def start(*arguments: str) -> subprocess.Popen[str]:
    """`up` in a new process group, so that Ctrl-C can be sent to the group as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "up", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit code, standard error) after Ctrl-C in its terminal."""
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)  # on a busy machine
    return process.returncode, stderr


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        Event().wait(0.01)


def test_nothing_to_do_gives_exit_code_0() -> None:
    run("label", "spring")
    process = start("spring", "--workers", "1", "--until-done")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "ended with code" not in stderr


def test_an_empty_catalogue_is_done_before_the_worker_starts() -> None:
    process = start("--until-done")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "ended with code" not in stderr


@pytest.mark.parametrize("sign", ["broker.log", "worker.log", "broker: "])
def test_ctrl_c_during_startup(tmp_path: Path, sign: str) -> None:
    process = start("spring")
    if sign.endswith(".log"):
        wait_for((tmp_path / ".fashion-cascade" / sign).exists)
    else:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(sign)
    code, stderr = interrupted(process)
    assert code == 130, stderr
    assert "Traceback" not in stderr
    assert "ended with code" not in stderr


def test_the_failure_of_a_worker_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "FASHION_CASCADE_BATCH_SIZE", "129"
    )  # above the shard size: a worker refuses it
    process = start()
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2, stderr
    assert "the worker ended with code 2" in stderr


def test_port_with_another_server_is_refused_in_one_line(tmp_path: Path) -> None:
    foreign = RedisServer(tmp_path / "foreign").start()
    try:
        process = start("spring", "--port", str(foreign.port), "--until-done")
        _, stderr = process.communicate(timeout=120)
        with foreign.client() as client:
            assert client.keys("*") == []
    finally:
        foreign.kill()
    assert process.returncode == 3, stderr
    assert stderr.startswith(f"fashion-cascade: port {foreign.port}: expected it free for our own")
    assert stderr.count("\n") == 1


def test_broker_has_a_password_and_files_that_only_this_user_reads(tmp_path: Path) -> None:
    data = tmp_path / ".fashion-cascade"
    process = start("spring", "--workers", "1")
    try:
        assert process.stdout is not None
        shown = process.stdout.readline() + process.stdout.readline()
        wait_for((data / "worker.log").exists)
        url = (data / "broker-url").read_text().strip()
        password = str(urlsplit(url).password)
        assert password not in shown
        arguments = [one.cmdline() for one in psutil.Process(process.pid).children(recursive=True)]
        assert password not in str(arguments)
        with redis.Redis.from_url(url) as client:
            assert client.ping()
        stranger = redis.Redis(port=urlsplit(url).port or 0)
        with stranger, pytest.raises(redis.exceptions.AuthenticationError):
            stranger.ping()
        variable = {"FASHION_CASCADE_BROKER_URL_FILE": str(data / "broker-url")}
        status = [sys.executable, "-m", "cli", "status"]
        assert subprocess.run(status, env=os.environ | variable, check=False).returncode == 0
        modes = {path: path.stat().st_mode & 0o077 for path in [data, *data.rglob("*")]}
        assert {"broker.log", "worker.log", "broker-url"} <= {path.name for path in modes}
        assert not any(modes.values()), modes
    finally:
        code, stderr = interrupted(process)
    assert code == 130, stderr
    assert not (data / "broker-url").exists()
