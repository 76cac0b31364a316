"""The resources of a worker process: settings, catalogue, models, threads; and Celery's signals.

Each process creates its own resources, after any fork or spawn. It loads and warms up the networks
before its first shard. If a resource is not available then (a database that is down), each shard
tries again, so that the process survives.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import Any

from celery import signals

from db.catalogue import Catalogue
from db.errors import CatalogueError
from worker import logs
from worker.concurrency import batch_size, cores_per_process, decode_threads
from worker.decode import Decoder
from worker.errors import ExitCode, WorkerError, exit_code_of
from worker.lease_owners import expire_dead_owners, this_owner
from worker.model_loader import Model, ModelCache, register_model
from worker.queue import healing, metrics, stopping
from worker.queue.preflight import check_worker_can_start, require_roots
from worker.settings import Settings, resolve
from worker.sources.row_files import row_loader

log = logging.getLogger(__name__)


@dataclass
class Resources:
    """What the tasks of one process share. `stop` is set when the process must end."""

    settings: Settings
    catalogue: Catalogue
    models: ModelCache
    owner: str
    stop: threading.Event = field(default_factory=threading.Event)
    decoders: dict[str, Decoder] = field(default_factory=dict)

    def of_this_process(self) -> bool:
        """Whether this process made them, not the one that it was forked from."""
        return self.owner == this_owner(name=self.settings.worker_name)

    def decoder(self, model: Model) -> Decoder:
        """The decoder threads, with the preprocessing of `model`."""
        with _lock:  # in a pool of threads, another model's decoder may be in use: none is closed
            return self._decoder(model)

    def _decoder(self, model: Model) -> Decoder:
        if model.version not in self.decoders:
            threads = decode_threads(self.settings)
            ahead = 2 * batch_size(self.settings, model, self.settings.shard_size)
            self.decoders[model.version] = Decoder(
                row_loader(model.preprocessing),
                threads=threads,
                ahead=ahead,
                stop=self.stop,
                patience=self.settings.lease_seconds / 3,
            )
        return self.decoders[model.version]

    def close_decoders(self) -> None:
        """End the decoder threads."""
        for decoder in self.decoders.values():
            decoder.close()
        self.decoders.clear()


_resources: Resources | None = None
_lock = threading.RLock()
_stop = threading.Event()


def resources() -> Resources:
    """The resources of this process, created at the first call.

    Raises:
        ModelUnusable, SettingsError: nothing can be labelled with these settings.
        CatalogueError: the database is unreachable, or its schema is out of date.
    """
    global _resources  # noqa: PLW0603 - one per process
    with _lock:
        if _resources is None or not _resources.of_this_process():
            settings = resolve(environ=os.environ).settings
            require_roots(settings)  # they may have been taken out of a file after the start
            set_threads_and_device(settings)
            models = ModelCache(
                settings.model,
                settings.model_store,
                backend=settings.backend,
                threads=cores_per_process(settings),
            )
            models.default().load()
            catalogue = Catalogue.open(settings.catalogue_url, create=False)
            register_model(catalogue, models.default())
            catalogue.put_in_use(models.default().version, only_if_none=True)
            expire_dead_owners(catalogue, name=settings.worker_name)
            owner = this_owner(name=settings.worker_name)
            _resources = Resources(settings, catalogue, models, owner, stop=_stop)
        return _resources


def set_threads_and_device(settings: Settings) -> None:
    """Set the variables that the deep learning library reads at import; call it before that.

    Values that are already in the environment are kept.
    """
    share = str(cores_per_process(settings))
    for variable in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, share)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # two processes, one GPU
    if settings.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    elif settings.device.startswith("gpu:"):
        os.environ["CUDA_VISIBLE_DEVICES"] = settings.device.removeprefix("gpu:")


def _on_start(sender: str, instance: Any, conf: Any, options: Any, **_: Any) -> None:
    """Refuse to start if nothing could be labelled; set the threads."""
    try:
        settings = resolve(environ=os.environ).settings
        check_worker_can_start(settings)
    except (WorkerError, CatalogueError) as error:
        code = exit_code_of(error) if isinstance(error, WorkerError) else ExitCode.DATABASE
        log.error("%s", error)
        os.write(2, f"fashion-cascade: {error}\n".encode())
        raise SystemExit(code) from error
    set_threads_and_device(settings)


def _on_logging(**_: Any) -> None:
    settings = resolve(environ=os.environ).settings
    logs.configure(settings.log_format, settings.log_level)


def _on_ready(sender: Any, **_: Any) -> None:
    settings = resolve(environ=os.environ).settings
    stopping.install(sender.controller, settings)
    if sender.restart_count <= 1:
        stopping.start_watchdog(settings)
        healing.start(settings)
        metrics.serve(settings)


def _on_child(**_: Any) -> None:
    """Load and warm up the model; stop cleanly when the pool ends its processes."""
    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, _request_stop)
    try:
        resources()
    except (WorkerError, CatalogueError) as error:
        log.error("not ready yet, will retry at the first shard: %s", error)


def _request_stop(_number: int, _frame: object) -> None:
    _stop.set()


def _on_end(**_: Any) -> None:
    if _resources is not None and _resources.of_this_process():
        with contextlib.suppress(CatalogueError):
            _resources.close_decoders()
            _resources.catalogue.close()


signals.celeryd_init.connect(_on_start)
signals.setup_logging.connect(_on_logging)
signals.worker_ready.connect(_on_ready)
signals.worker_process_init.connect(_on_child)
signals.worker_process_shutdown.connect(_on_end)
signals.worker_shutdown.connect(_on_end)
