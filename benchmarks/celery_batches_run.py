"""celery-batches: one task per picture, gathered into batches by the worker. Writes no rows.

celery-batches does not install beside this project's Celery release, so it has a separate
environment, given by ``--batches-python``.
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

DONE = "labelled"  # counter on the broker, from which the measuring process sees the end


def gathered(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """Send one message per path; the worker classifies up to 64 at once."""
    with tempfile.TemporaryDirectory() as name:
        broker = RedisServer(Path(name) / "redis", data=False).start()
        try:
            environ = environment(Path(name), broker.url, "", bundle, backend)
            command = [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "benchmarks.celery_batches_worker",
                "worker",
            ]
            command += ["--pool", "solo", "--prefetch-multiplier", "256"]
            command += ["--without-mingle", "--without-gossip"]
            sender = [sys.executable, "-m", "benchmarks.celery_batches_worker"]
            path_list = Path(name) / "paths"
            client = redis.Redis.from_url(broker.url)
            with started(command, environ, Path(name) / "log") as pid:
                path_list.write_text("\n".join(map(str, paths[:64])))
                subprocess.run([*sender, str(path_list)], env=environ, cwd=ROOT, check=True)
                wait_until(lambda: int(client.get(DONE) or 0) == 64, "a first batch", SECONDS)
                path_list.write_text("\n".join(map(str, paths)))
                total = len(paths) + 64
                return timed(
                    "celery-batches",
                    len(paths),
                    pid,
                    lambda: subprocess.Popen([*sender, str(path_list)], env=environ),
                    lambda: int(client.get(DONE) or 0) >= total,
                )
        finally:
            assert broker.process is not None
            broker.process.terminate()
            broker.process.wait(30)
