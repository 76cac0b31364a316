"""What the exporter says of a real broker and catalogue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]


class RunningExporter:
    """``fashion-cascade exporter`` over a broker and a catalogue, on a free port."""

    def __init__(self, folder: Path, broker: str, catalogue: str) -> None:
        plain = {name: v for name, v in os.environ.items() if "FASHION" not in name}
        self.environ = plain | {
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(folder),
            "FASHION_CASCADE_BROKER_URL": broker,
            "FASHION_CASCADE_CATALOGUE_URL": catalogue,
            "FASHION_CASCADE_ROOTS": str(folder),
        }
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "exporter", "--port", "0"],
            cwd=folder,
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.url = self.process.stderr.readline().removeprefix("metrics: ").strip()

    def run(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "cli", *arguments]
        subprocess.run(command, cwd=self.folder, env=self.environ, check=True)

    def scrape(self) -> str:
        with urllib.request.urlopen(self.url, timeout=60) as answer:
            return str(answer.read().decode())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
def exporter(tmp_path: Path, broker: RedisServer) -> Iterator[RunningExporter]:
    """An exporter that is started before there is a catalogue."""
    made = RunningExporter(tmp_path, broker.url, f"sqlite:///{tmp_path / 'catalogue.db'}")
    yield made
    if made.process.poll() is None:
        made.stop()


@pytest.fixture
def exported(exporter: RunningExporter) -> str:
    """A scrape with a broker and an empty catalogue."""
    exporter.run("db", "upgrade")
    return exporter.scrape()
