"""How a worker shares its machine out: how many processes, and how many threads each has.

On LiteRT and OpenVINO a network runs on one thread without loss, so a worker has a process a core
and one more: while one waits for the database or takes its next shard, the others have all cores.
TensorFlow takes the whole machine (and much memory) in one process.
"""

from __future__ import annotations

from worker.decode import thread_count
from worker.model_loader import BundleModel, Model, open_model
from worker.settings import Settings

MOST_PROCESSES = 8  # beside the one more; from there on each has several cores


def processes(settings: Settings) -> int:
    """How many processes the pool has: the setting, or what the backend makes of the cores.

    Raises:
        ModelUnusable: there is no such bundle.
    """
    if settings.pool_size:
        return settings.pool_size
    model = open_model(settings.model, settings.backend)
    a_gpu = settings.device.startswith("gpu:")  # which one process has to itself
    if isinstance(model, BundleModel) and model.is_light and not a_gpu:
        return min(thread_count(0), MOST_PROCESSES) + 1
    return 1


def core_share(settings: Settings) -> int:
    """How many cores are one process's own, when the pool's processes share them out."""
    if settings.pool_size:
        return max(1, thread_count(0) // settings.pool_size)
    busy = max(1, processes(settings) - 1)  # one waits while the others work
    return -(-thread_count(0) // busy)


def batch_size(settings: Settings, model: Model, most: int) -> int:
    """Pictures in one step of the networks: the setting, or what pays, of at most `most` at hand.

    Raises:
        ModelUnusable: the networks had to be loaded to measure it, and could not be.
    """
    return settings.batch_size or model.batch_size(most)


def decode_threads(settings: Settings) -> int:
    """Threads that open pictures in each process, so that the pool's processes share the cores."""
    return settings.decode_threads or core_share(settings)
