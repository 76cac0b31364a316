"""What `doctor` looks at: each check gives findings, each finding its fix."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.errors import CatalogueError
from worker.errors import WorkerError
from worker.settings import Settings, mask_url

OK, WARNING, ERROR = "ok", "warning", "error"
MIN_FREE_DISK_BYTES = 1 << 30
MAX_CLOCK_SKEW_SECONDS = 5.0
MIN_REDIS_VERSION = (6, 2)
NO_BROKER = (
    "fashion-cascade up starts one with workers on this machine; or start Redis and set "
    "FASHION_CASCADE_BROKER_URL; label needs none"
)


@dataclass(frozen=True)
class CheckResult:
    """One thing that was looked at. `fix` is empty when it is well."""

    check: str
    level: str
    found: str
    fix: str = ""


def run_checks(settings: Settings) -> Iterator[CheckResult]:
    """All findings, in an order that a person reads."""
    checks: tuple[Callable[[Settings], Iterator[CheckResult]], ...] = (
        _broker,
        _catalogue,
        _model,
        _roots,
        _pool,
        _shard_times,
        _gpu,
        _disk,
    )
    for check in checks:
        yield from check(settings)


def _broker(settings: Settings) -> Iterator[CheckResult]:
    from worker.queue import broker

    try:
        with broker.connect(settings) as client:
            untyped: Any = client  # its answers are typed differently from release to release
            server = untyped.info()
            policy = untyped.config_get("maxmemory-policy")
            seconds, micro = untyped.time()
    except WorkerError as error:
        yield CheckResult("broker", ERROR, str(error), NO_BROKER)
        return
    version = str(server.get("redis_version", "0"))
    old = tuple(int(part) for part in version.split(".")[:2]) < MIN_REDIS_VERSION
    yield CheckResult(
        "broker version",
        WARNING if old else OK,
        f"{server.get('server_name', 'redis')}, speaks Redis {version}",
        f"use Redis {MIN_REDIS_VERSION[0]}.{MIN_REDIS_VERSION[1]} or later, or Valkey"
        if old
        else "",
    )
    evicts = policy.get("maxmemory-policy") != "noeviction"
    yield CheckResult(
        "eviction policy",
        ERROR if evicts else OK,
        str(policy.get("maxmemory-policy")),
        "messages may be thrown away: CONFIG SET maxmemory-policy noeviction" if evicts else "",
    )
    keeps = server.get("aof_enabled") == 1
    yield CheckResult(
        "broker data",
        OK if keeps else WARNING,
        "append-only file" if keeps else "not kept over a restart",
        ""
        if keeps
        else "set appendonly yes; without it, run requeue --stale --lost after restarts",
    )
    skew = abs(seconds + micro / 1e6 - time.time())
    yield _clock("clock of the broker", skew)


def _catalogue(settings: Settings) -> Iterator[CheckResult]:
    import sqlalchemy

    from db.catalogue import Catalogue
    from db.session import reading

    try:
        catalogue = Catalogue.open(settings.catalogue_url, create=False)
    except CatalogueError as error:
        yield CheckResult(
            "catalogue", ERROR, str(error), "fashion-cascade db upgrade, or set the URL"
        )
        return
    try:
        yield CheckResult("catalogue", OK, mask_url(settings.catalogue_url))
        with reading(catalogue.engine) as connection:
            if catalogue.engine.dialect.name == "sqlite":
                mode = connection.execute(sqlalchemy.text("PRAGMA journal_mode")).scalar_one()
                well = mode == "wal"
                fix = "" if well else "put the file on a local disk, or use PostgreSQL"
                yield CheckResult("SQLite journal", OK if well else ERROR, str(mode), fix)
            else:
                query = sqlalchemy.text("SELECT extract(epoch FROM clock_timestamp())")
                there = float(connection.execute(query).scalar_one())
                yield _clock("clock of the catalogue", abs(there - time.time()))
    finally:
        catalogue.close()


def _clock(name: str, skew: float) -> CheckResult:
    bad = skew > MAX_CLOCK_SKEW_SECONDS
    return CheckResult(
        name,
        WARNING if bad else OK,
        f"{skew:.1f} s away",
        "leases are counted in time: run NTP on both machines" if bad else "",
    )


def _model(settings: Settings) -> Iterator[CheckResult]:
    from worker.model_loader import BundleModel, open_model

    try:
        model = open_model(settings.model)
        if isinstance(model, BundleModel):
            model.verify()
        yield CheckResult("model", OK, f"{model.version} in {model.source}, hashes verified")
    except WorkerError as error:
        yield CheckResult(
            "model", ERROR, str(error), "copy or train the bundle again, or set model"
        )


def _roots(settings: Settings) -> Iterator[CheckResult]:
    from worker.sources.paths import is_url
    from worker.sources.scan import root_is_available

    if not settings.roots:
        fix = "set FASHION_CASCADE_ROOTS to the folders that workers may read"
        yield CheckResult("roots", WARNING, "none: a worker will not start", fix)
    for root in settings.roots:
        well = is_url(root) or root_is_available(root)
        fix = "" if well else "mount it, or correct FASHION_CASCADE_ROOTS"
        yield CheckResult(
            "root", OK if well else ERROR, root if well else f"{root}: gone or empty", fix
        )


def _pool(settings: Settings) -> Iterator[CheckResult]:
    from worker.queue.app import configuration

    conf = configuration(settings)
    method = conf["worker_pool_start_method"]
    yield CheckResult(
        "pool", OK, f"{settings.pool_size or 'fitting'} processes, start method {method}"
    )
    yield CheckResult(
        "prefetch", OK, f"{conf['worker_prefetch_multiplier']} message a process, late acks"
    )
    cores = len(os.sched_getaffinity(0))
    many = settings.pool_size > cores
    fix = f"they fight over {cores} cores: lower FASHION_CASCADE_POOL_SIZE" if many else ""
    shared = settings.pool_size or "all"
    yield CheckResult("cores", WARNING if many else OK, f"{cores} for {shared}", fix)


def _shard_times(settings: Settings) -> Iterator[CheckResult]:
    """The two limits on a shard against what the workers measured."""
    from worker.queue.shard_times import recent

    try:
        times = recent(settings)
    except WorkerError:  # `_broker` has told
        times = []
    if not times:
        timeout = settings.visibility_timeout
        yield CheckResult("visibility timeout", OK, f"{timeout} s; no shard was measured here yet")
        return
    longest = max(times)
    measured = f"the longest of the last {len(times)} shards took {longest:.1f} s"
    yield _visibility_timeout(settings, longest, measured)
    limit, needed = settings.shard_time_limit, math.ceil(2 * longest)
    near = limit < needed
    fix = _longer("shard_time_limit", needed, "a slower shard is ended half-way") if near else ""
    yield CheckResult("shard time limit", WARNING if near else OK, f"{limit} s: {measured}", fix)


def _visibility_timeout(settings: Settings, longest: float, measured: str) -> CheckResult:
    from worker.queue.app import MAX_RETRY_DELAY_SECONDS

    timeout = settings.visibility_timeout
    # a shard that was put off waits in its worker's hands before it is worked
    needed = math.ceil(2 * longest + MAX_RETRY_DELAY_SECONDS)
    level = ERROR if timeout <= longest else WARNING if timeout < needed else OK
    danger = "a shard that is being worked is given to a second worker"
    fix = "" if level == OK else _longer("visibility_timeout", needed, danger)
    return CheckResult("visibility timeout", level, f"{timeout} s: {measured}", fix)


def _longer(setting: str, seconds: int, danger: str) -> str:
    return (
        f"{danger}: set FASHION_CASCADE_{setting.upper()} to {seconds} or more, or lower "
        "FASHION_CASCADE_SHARD_SIZE and enqueue again"
    )


def _gpu(settings: Settings) -> Iterator[CheckResult]:
    if settings.device == "cpu":
        yield CheckResult("GPU", OK, "not asked for")
        return
    from worker.native_libraries import suppress_startup_messages
    from worker.queue.lifecycle import set_threads_and_device

    set_threads_and_device(settings)
    with suppress_startup_messages():
        import tensorflow

        gpus = tensorflow.config.list_physical_devices("GPU")
    missing = settings.device.startswith("gpu:") and not gpus
    growth = os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH") == "true"
    shown = f"{len(gpus)} visible, memory growth {'on' if growth else 'off'}" if gpus else "none"
    fix = "pip install 'fashion-cascade[gpu]' and check nvidia-smi" if missing else ""
    yield CheckResult("GPU", ERROR if missing else OK, shown, fix)


def _disk(settings: Settings) -> Iterator[CheckResult]:
    if not settings.catalogue_url.startswith("sqlite"):
        return
    folder = Path(settings.catalogue_url.removeprefix("sqlite:///")).absolute().parent
    if not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    little = free < MIN_FREE_DISK_BYTES
    fix = "free some, or move the catalogue" if little else ""
    yield CheckResult(
        "disk", WARNING if little else OK, f"{free / 1e9:.1f} GB free in {folder}", fix
    )
