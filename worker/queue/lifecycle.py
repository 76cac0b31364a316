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
from celery.apps import worker as worker_module

from db.catalogue import Catalogue
from db.errors import CatalogueError
from worker import logs
from worker.concurrency import StopFlag, batch_size, cores_per_process, decode_threads
from worker.decode import Decoder
from worker.errors import ExitCode, WorkerError, exit_code_of
from worker.lease_owners import expire_dead_owners, this_owner
from worker.model_loader import Model, ModelCache, register_model
from worker.queue import beats, healing, metrics, stopping
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
_main_beat: beats.MainBeat | None = None
_process_beat: beats.ProcessBeat | None = None
_lock = threading.RLock()
_stop = StopFlag()


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
                features=settings.features,
            )
            models.default().load()
            if _process_beat is not None:
                _process_beat.has_network()
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
    """Refuse to start if nothing could be labelled; begin the probes' files; set the threads."""
    global _main_beat  # noqa: PLW0603 - one per process
    json_lines = logs.in_json(os.environ)
    try:
        settings = resolve(environ=os.environ).settings
        json_lines = settings.log_format == "json"
        logs.configure(settings.log_format, settings.log_level)
        check_worker_can_start(settings)
    except (WorkerError, CatalogueError) as error:
        code = exit_code_of(error) if isinstance(error, WorkerError) else ExitCode.DATABASE
        log.error("%s", error)
        if not json_lines:
            os.write(2, f"fashion-cascade: {error}\n".encode())
        raise SystemExit(code) from error
    if json_lines:
        speak_json(instance)
    _main_beat = beats.start_main(sender)
    set_threads_and_device(settings)


def speak_json(worker: Any) -> None:
    """Leave out Celery's banner, and turn what it prints at a stop into JSON lines."""

    def say(message: str, *_: Any) -> None:
        logs.write_line(worker_module.__name__, logging.WARNING, message.strip())

    worker.quiet = True
    worker_module.safe_say = say


def _on_setup(**_: Any) -> None:
    """Let the processes of the pool set up their own logging: Celery would do so before them."""
    os.environ.pop("_MP_FORK_LOGLEVEL_", None)


def _on_logging(**_: Any) -> None:
    settings = resolve(environ=os.environ).settings
    logs.configure(settings.log_format, settings.log_level)


def _on_ready(sender: Any, **_: Any) -> None:
    settings = resolve(environ=os.environ).settings
    assert _main_beat is not None  # made at the start of the same process
    _main_beat.watch(sender.controller.pool)
    stopping.install(sender.controller, settings, _main_beat.turned)
    if sender.restart_count <= 1:
        stopping.start_watchdog(settings)
        healing.start(settings)
        beats.start_looking(settings)
        metrics.serve(settings, beats.folder())


def _on_child(**_: Any) -> None:
    """Load and warm up the model; stop cleanly when the pool ends its processes."""
    global _process_beat  # noqa: PLW0603 - one per process
    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, _request_stop)
    _process_beat = beats.start_process()
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
signals.celeryd_after_setup.connect(_on_setup)
signals.worker_ready.connect(_on_ready)
signals.worker_process_init.connect(_on_child)
signals.worker_process_shutdown.connect(_on_end)
signals.worker_shutdown.connect(_on_end)
