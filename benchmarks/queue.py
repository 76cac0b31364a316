"""Contenders with a queue: the full system on PostgreSQL, and the naive worker."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from benchmarks.measuring import Labels, Pass, Peak, ProcessorUse, cpu_of, process_tree
from tests.redis_server import RedisServer
from tests.servers import postgres_server, wait_until

ROOT = Path(__file__).parents[1]
SECONDS = 600.0


@contextmanager
def servers(folder: Path) -> Iterator[tuple[RedisServer, str]]:
    """A broker and an empty PostgreSQL database."""
    broker = RedisServer(folder / "redis", data=False).start()
    try:
        with postgres_server() as postgres:
            yield broker, postgres.new_url()
    finally:
        assert broker.process is not None
        broker.process.terminate()
        broker.process.wait(30)


@contextmanager
def started(command: Sequence[str], environ: dict[str, str], log: Path) -> Iterator[int]:
    """Run a process in the background and yield its process id; SIGTERM ends it."""
    with log.open("ab") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=stream, stderr=stream)
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)


def cost_of_servers(ours: float, worker: float, count: int) -> dict[str, float]:
    """Processor time per picture of broker, database, sender and measuring process."""
    return {"ms of processor a picture beside the worker": (ours - worker) / count * 1e3}


def finished_rows(engine: sa.Engine, table: str = "catalogue") -> int:
    """How many rows are labelled or rejected."""
    query = f"SELECT count(*) FROM {table} WHERE labelled_at IS NOT NULL OR status = 'rejected'"
    with engine.connect() as connection:
        return int(connection.execute(sa.text(query)).scalar_one())


def timed(
    name: str, count: int, pid: int, begin: Callable[[], object], done: Callable[[], bool]
) -> Pass:
    """Measure from the first message to the last row."""
    processes = process_tree(pid)
    before = cpu_of(processes)
    with Peak(lambda: processes) as peak, ProcessorUse() as used:
        started_at = time.perf_counter()
        begin()
        wait_until(done, name, SECONDS)
        seconds = time.perf_counter() - started_at
    cpu = cpu_of(processes) - before
    result = Pass(name, count, seconds, cpu, peak.bytes, others=used.others)
    result.notes |= cost_of_servers(used.ours, cpu, count)
    return result


def one_process(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """`full_system` with a worker of one process."""
    return full_system(paths, bundle, backend, 1)


def two_processes(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """`full_system` with a worker of two processes."""
    return full_system(paths, bundle, backend, 2)


def full_system(paths: Sequence[Path], bundle: Path, backend: str, workers: int = 0) -> Pass:
    """Enqueue a folder and label it with a warmed-up worker on PostgreSQL.

    The time runs from the first path in the ledger to the last row. The startup of `enqueue` is not
    included, as in all contenders. The notes hold the rate with it, and the rate of the last nine
    tenths of the rows, when the first batches are through.

    Args:
        workers: processes of the worker; 0 lets the worker choose.
    """
    from db.session import make_engine

    with tempfile.TemporaryDirectory() as name, servers(Path(name)) as (broker, url):
        environ = environment(Path(name), broker.url, url, bundle, backend)
        warm = Path(name) / "warm"
        warm.mkdir()
        for path in paths[:64]:
            (warm / path.name).write_bytes(path.read_bytes() + b" ")
        cli = [sys.executable, "-m", "cli"]
        subprocess.run([*cli, "enqueue", str(warm)], env=environ, cwd=ROOT, check=True)
        engine = make_engine(url)
        command = [*cli, "worker", *(["--pool-size", str(workers)] if workers else [])]
        log = Path(name) / "worker.log"
        with started(command, environ, log) as pid:
            wait_until(
                lambda: finished_rows(engine) == len(list(warm.iterdir())), "the worker", SECONDS
            )
            wait_for_idle(pid)
            folder, total = str(paths[0].parent), len(paths) + 64
            enqueue = [*cli, "enqueue", folder, "--crawl", "bench"]
            done = timed(
                f"queue + worker ({workers or 'default'}) + PostgreSQL",
                len(paths),
                pid,
                lambda: subprocess.Popen(enqueue, env=environ, cwd=ROOT),
                lambda: _paced(lambda: finished_rows(engine) >= total),
            )
        done.labels = _labels(engine, "catalogue WHERE crawl = 'bench' AND label IS NOT NULL")
        first, tenth, last = _times(engine)
        engine.dispose()
    done.notes["pictures/s with the start of enqueue"] = done.rate
    done.notes["pictures/s once it runs"] = 0.9 * len(paths) / (last - tenth)
    done.seconds = last - first
    return done


def _paced(condition: Callable[[], bool]) -> bool:
    """Check five times per second: counting rows costs the database time."""
    time.sleep(0.2)
    return condition()


def _times(engine: sa.Engine) -> tuple[float, float, float]:
    """Unix times: first path in the ledger, a tenth of the rows stored, last row stored."""
    query = sa.text(
        "SELECT extract(epoch FROM min(created_at)), "
        "percentile_disc(0.1) WITHIN GROUP (ORDER BY extract(epoch FROM updated_at)), "
        "extract(epoch FROM max(updated_at)) FROM catalogue WHERE crawl = 'bench'"
    )
    with engine.connect() as connection:
        first, tenth, last = connection.execute(query).one()
    return float(first), float(tenth), float(last)


def environment(
    folder: Path, broker: str, catalogue: str, bundle: Path, backend: str
) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if "FASHION" not in name}
    return clean | {
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PYTHONPATH": str(ROOT),
        "FASHION_CASCADE_BROKER_URL": broker,
        "FASHION_CASCADE_CATALOGUE_URL": catalogue,
        "FASHION_CASCADE_MODEL": str(bundle),
        "FASHION_CASCADE_BACKEND": backend,
        "FASHION_CASCADE_ROOTS": "/",
        "FASHION_CASCADE_DEVICE": "cpu",
    }


def wait_for_idle(pid: int) -> None:
    """Wait until a process and its children use no processor time for half a second."""
    last = [cpu_of(process_tree(pid)), time.monotonic()]

    def idle() -> bool:
        now = cpu_of(process_tree(pid))
        if now - last[0] > 0.02:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] > 0.5

    wait_until(idle, "the worker to be idle", SECONDS)


def naive_worker(paths: Sequence[Path], bundle: Path, backend: str) -> Pass:
    """Run one Celery task per picture: Pillow, ``model.predict``, one commit, on PostgreSQL."""
    with tempfile.TemporaryDirectory() as name, servers(Path(name)) as (broker, url):
        environ = environment(Path(name), broker.url, url, bundle, "tensorflow")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE labels (path text PRIMARY KEY, label text)"))

        def rows() -> int:
            with engine.connect() as connection:
                return int(connection.execute(sa.text("SELECT count(*) FROM labels")).scalar_one())

        command = [sys.executable, "-m", "celery", "-A", "benchmarks.naive_worker", "worker"]
        command += ["--pool", "solo", "--without-mingle", "--without-gossip"]
        sender = [sys.executable, "-m", "benchmarks.naive_worker"]
        path_list = Path(name) / "paths"
        with started(command, environ, Path(name) / "log") as pid:
            path_list.write_text("\n".join(map(str, paths[:4])))
            subprocess.run([*sender, str(path_list)], env=environ, cwd=ROOT, check=True)
            wait_until(lambda: rows() == 4, "the first rows", SECONDS)
            path_list.write_text("\n".join(map(str, paths[4:])))
            done = timed(
                "one task per picture",
                len(paths) - 4,
                pid,
                lambda: subprocess.Popen([*sender, str(path_list)], env=environ, cwd=ROOT),
                lambda: rows() >= len(paths),
            )
        done.labels = _labels(engine, "labels")
        engine.dispose()
    return done


def _labels(engine: sa.Engine, rows: str) -> Labels:
    with engine.connect() as connection:
        found = connection.execute(sa.text(f"SELECT path, label FROM {rows}")).all()
    return {Path(path).name: label for path, label in found}
