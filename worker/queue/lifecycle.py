"""What a worker process holds, from its start to its end: settings, catalogue, model, threads.

Made in the process that uses it, after any fork or spawn. The networks are loaded and warmed
before the first shard is taken; what cannot be had then (a database that is down) is tried again
at each shard, so that a child does not die of it.
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
from worker.decode import Decoder, file_loader
from worker.errors import ExitCode, WorkerError, exit_code_of
from worker.lease_owners import expire_dead_owners, this_owner
from worker.model_loader import Model, ModelCache, register_model
from worker.queue import metrics
from worker.queue.preflight import check_worker_can_start
from worker.settings import Settings, resolve

log = logging.getLogger(__name__)


@dataclass
class Resources:
    """What the tasks of one process share. `stop` is set when the process is asked to end."""

    settings: Settings
    catalogue: Catalogue
    shelf: ModelCache
    owner: str
    stop: threading.Event = field(default_factory=threading.Event)
    decoders: dict[str, Decoder] = field(default_factory=dict)

    def decoder(self, model: Model) -> Decoder:
        """The threads that open pictures the way `model` was trained on."""
        if model.version not in self.decoders:
            self.close_decoders()
            threads = decode_threads(self.settings)
            ahead = 2 * batch_size(self.settings, model, self.settings.shard_size)
            self.decoders[model.version] = Decoder(
                file_loader(model.preprocessing), threads=threads, ahead=ahead
            )
        return self.decoders[model.version]

    def close_decoders(self) -> None:
        """End the threads that decode."""
        for decoder in self.decoders.values():
            decoder.close()
        self.decoders.clear()


_held: Resources | None = None
_lock = threading.RLock()
_stop = threading.Event()


def resources() -> Resources:
    """This process's resources; made on first use.

    Raises:
        ModelUnusable, SettingsError: as the settings stand, nothing can be labelled.
        CatalogueError: the database is unreachable, or its schema is not up to date.
    """
    global _held  # noqa: PLW0603 - one a process, as the pool has it
    with _lock:
        if _held is None or _held.owner != this_owner():
            settings = resolve(environ=os.environ).settings
            set_threads_and_device(settings)
            shelf = ModelCache(
                settings.model,
                settings.model_store,
                backend=settings.backend,
                threads=cores_per_process(settings),
            )
            shelf.default().load()
            catalogue = Catalogue.open(settings.catalogue_url, create=False)
            register_model(catalogue, shelf.default())
            catalogue.put_in_use(shelf.default().version, only_if_none=True)
            expire_dead_owners(catalogue)
            _held = Resources(settings, catalogue, shelf, this_owner(), stop=_stop)
        return _held


def set_threads_and_device(settings: Settings) -> None:
    """Set what the deep learning library reads when it is imported; before that, so early.

    Values that are in the environment already are left alone.
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
    """Refuse to start where nothing could be labelled; share the cores out."""
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


def _on_ready(**_: Any) -> None:
    metrics.serve(resolve(environ=os.environ).settings)


def _on_child(**_: Any) -> None:
    """Load and warm; end cleanly when the pool is told to end its children."""
    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, _ask_to_stop)
    try:
        resources()
    except (WorkerError, CatalogueError) as error:
        log.error("not ready yet, tried again at the first shard: %s", error)


def _ask_to_stop(_number: int, _frame: object) -> None:
    _stop.set()


def _on_end(**_: Any) -> None:
    if _held is not None and _held.owner == this_owner():
        with contextlib.suppress(CatalogueError):
            _held.close_decoders()
            _held.catalogue.close()


signals.celeryd_init.connect(_on_start)
signals.setup_logging.connect(_on_logging)
signals.worker_ready.connect(_on_ready)
signals.worker_process_init.connect(_on_child)
signals.worker_process_shutdown.connect(_on_end)
signals.worker_shutdown.connect(_on_end)
