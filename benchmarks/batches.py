"""celery-batches: a task a picture, gathered into batches by the worker; nothing is written.

It refuses the Celery that this project uses, so it runs in an environment of its own, whose Python
is named with ``--batches-python``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import redis

from benchmarks.measuring import Pass
from benchmarks.queue import ROOT, SECONDS, environment, started, timed
from tests.redis_server import RedisServer
from tests.servers import wait_until

DONE = "labelled"  # a counter on the broker: how the measuring process sees the end


def gathered(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """Every path in a message of its own; the worker classifies up to 64 at once."""
    with tempfile.TemporaryDirectory() as name:
        broker = RedisServer(Path(name) / "redis", data=False).start()
        try:
            environ = environment(Path(name), broker.url, "", bundle, backend)
            command = [sys.executable, "-m", "celery", "-A", "benchmarks.gathering", "worker"]
            command += ["--pool", "solo", "--prefetch-multiplier", "256"]
            command += ["--without-mingle", "--without-gossip"]
            sender = [sys.executable, "-m", "benchmarks.gathering"]
            listed = Path(name) / "paths"
            client = redis.Redis.from_url(broker.url)
            with started(command, environ, Path(name) / "log") as pid:
                listed.write_text("\n".join(map(str, paths[:64])))
                subprocess.run([*sender, str(listed)], env=environ, cwd=ROOT, check=True)
                wait_until(lambda: int(client.get(DONE) or 0) == 64, "a first batch", SECONDS)
                listed.write_text("\n".join(map(str, paths)))
                total = len(paths) + 64
                return timed(
                    "celery-batches",
                    len(paths),
                    pid,
                    lambda: subprocess.Popen([*sender, str(listed)], env=environ) and None,
                    lambda: int(client.get(DONE) or 0) >= total,
                )
        finally:
            assert broker.process is not None
            broker.process.terminate()
            broker.process.wait(30)
