"""The checks of `doctor`: each yields results, and each problem has a fix."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cascade.backends.cores import available_cores
from db.errors import CatalogueError
from rendering.secrets import mask_url
from worker.errors import WorkerError
from worker.settings import Settings

OK, WARNING, ERROR = "ok", "warning", "error"
MIN_FREE_DISK_BYTES = 1 << 30
MAX_CLOCK_SKEW_SECONDS = 5.0


@dataclass(frozen=True)
class CheckResult:
    """The result of one check. `fix` is empty if there is no problem."""

    check: str
    level: str
    found: str
    fix: str = ""


def run_checks(settings: Settings) -> Iterator[CheckResult]:
    """Run all checks, in the order in which they are shown."""
    from worker.queue.broker_checks import check_broker

    checks: tuple[Callable[[Settings], Iterator[CheckResult]], ...] = (
        check_broker,
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
                is_wal = mode == "wal"
                fix = "" if is_wal else "put the file on a local disk, or use PostgreSQL"
                yield CheckResult("SQLite journal", OK if is_wal else ERROR, str(mode), fix)
            else:
                query = sqlalchemy.text("SELECT extract(epoch FROM clock_timestamp())")
                there = float(connection.execute(query).scalar_one())
                yield clock("clock of the catalogue", abs(there - time.time()))
    finally:
        catalogue.close()


def clock(name: str, skew: float) -> CheckResult:
    is_wrong = skew > MAX_CLOCK_SKEW_SECONDS
    return CheckResult(
        name,
        WARNING if is_wrong else OK,
        f"{skew:.1f} s off",
        "leases depend on the clocks: run NTP on both machines" if is_wrong else "",
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
        available = is_url(root) or root_is_available(root)
        fix = "" if available else "mount it, or correct FASHION_CASCADE_ROOTS"
        found = mask_url(root) if available else f"{mask_url(root)}: gone or empty"
        yield CheckResult("root", OK if available else ERROR, found, fix)


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
    cores = available_cores()
    too_many = settings.pool_size > cores
    fix = f"they compete for {cores} cores: lower FASHION_CASCADE_POOL_SIZE" if too_many else ""
    shared = settings.pool_size or "all"
    yield CheckResult("cores", WARNING if too_many else OK, f"{cores} for {shared}", fix)


def _shard_times(settings: Settings) -> Iterator[CheckResult]:
    """Compare the two time limits of a shard with the durations that the workers measured."""
    from worker.queue.shard_times import recent

    try:
        times = recent(settings)
    except WorkerError:  # `_broker` reports it
        times = []
    if not times:
        timeout = settings.visibility_timeout
        yield CheckResult("visibility timeout", OK, f"{timeout} s; no shard measured yet")
        return
    longest = max(times)
    measured = f"the longest of the last {len(times)} shards took {longest:.1f} s"
    yield _visibility_timeout(settings, longest, measured)
    limit, minimum = settings.shard_time_limit, math.ceil(2 * longest)
    too_low = limit < minimum
    fix = _raise_to("shard_time_limit", minimum, "a slower shard is killed") if too_low else ""
    yield CheckResult("shard time limit", WARNING if too_low else OK, f"{limit} s: {measured}", fix)


def _visibility_timeout(settings: Settings, longest: float, measured: str) -> CheckResult:
    from worker.queue.app import MAX_RETRY_DELAY_SECONDS

    timeout = settings.visibility_timeout
    # a worker holds the message of a failed shard for up to a minute before it retries
    minimum = math.ceil(2 * longest + MAX_RETRY_DELAY_SECONDS)
    level = ERROR if timeout <= longest else WARNING if timeout < minimum else OK
    danger = "a shard in work is delivered to a second worker"
    fix = "" if level == OK else _raise_to("visibility_timeout", minimum, danger)
    return CheckResult("visibility timeout", level, f"{timeout} s: {measured}", fix)


def _raise_to(setting: str, seconds: int, danger: str) -> str:
    return (
        f"{danger}: set FASHION_CASCADE_{setting.upper()} to {seconds} or more, or lower "
        "FASHION_CASCADE_SHARD_SIZE and enqueue again"
    )


def _gpu(settings: Settings) -> Iterator[CheckResult]:
    if settings.device == "cpu":
        yield CheckResult("GPU", OK, "not requested")
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
    is_low = free < MIN_FREE_DISK_BYTES
    fix = "free some space, or move the catalogue" if is_low else ""
    yield CheckResult(
        "disk", WARNING if is_low else OK, f"{free / 1e9:.1f} GB free in {folder}", fix
    )
