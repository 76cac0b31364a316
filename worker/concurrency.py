"""The number of processes of a worker, and of threads in each; a flag that stops them.

On LiteRT and OpenVINO a network runs on one thread without loss of throughput, so a worker has one
process per core and one more: while one waits for the database or takes its next shard, the others
use all cores. TensorFlow uses all cores (and much memory) in one process.
"""

from __future__ import annotations

import threading

from worker.decode import decode_thread_count
from worker.model_loader import BundleModel, Model, open_model
from worker.settings import Settings

MAX_BUSY_PROCESSES = 8  # without the extra one; on more cores each process has several


class StopFlag(threading.Event):
    """An event that a signal handler may set.

    Python runs a handler in the main thread, between two steps of whatever that does. If it waits
    for an event just then, it holds the event's lock, and the handler would wait for it for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cond = threading.Condition(threading.RLock())  # held twice by one thread


def pool_processes(settings: Settings) -> int:
    """The number of processes of the pool: the setting, or what fits the backend and the cores.

    Raises:
        ModelUnusable: the bundle does not exist.
    """
    if settings.pool_size:
        return settings.pool_size
    model = open_model(settings.model, settings.backend)
    on_gpu = settings.device.startswith("gpu:")  # a GPU is used by one process
    if isinstance(model, BundleModel) and model.runs_without_tensorflow and not on_gpu:
        return min(decode_thread_count(0), MAX_BUSY_PROCESSES) + 1
    return 1


def cores_per_process(settings: Settings) -> int:
    """The cores of one process, when the processes of the pool share all cores."""
    if settings.pool_size:
        return max(1, decode_thread_count(0) // settings.pool_size)
    busy = max(1, pool_processes(settings) - 1)  # one waits while the others work
    return -(-decode_thread_count(0) // busy)


def batch_size(settings: Settings, model: Model, most: int) -> int:
    """Pictures in one batch: the setting, or the best size of the model, at most `most`.

    Raises:
        ModelUnusable: the networks could not be loaded to measure the best size.
    """
    return settings.batch_size or model.batch_size(most)


def decode_threads(settings: Settings) -> int:
    """Decoder threads per process: the setting, or the process's share of the cores."""
    return settings.decode_threads or cores_per_process(settings)
