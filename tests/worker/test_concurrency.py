"""How many processes and threads a worker has, by its settings and the cores."""

from __future__ import annotations

import pytest

from worker import concurrency
from worker.queue.app import LazyConfiguration
from worker.settings import Settings


@pytest.mark.parametrize(
    ("cores", "backend", "pool_size", "processes", "share"),
    [
        (2, "litert_float32", 0, 3, 1),  # one works on while another waits
        (1, "litert_float32", 0, 2, 1),
        (2, "openvino", 0, 3, 1),
        (16, "litert_float32", 0, 9, 2),
        (16, "tensorflow", 0, 1, 16),  # a gigabyte each, and its own threads
        (16, "litert_float32", 4, 4, 4),
        (2, "litert_float32", 4, 4, 1),
    ],
)
def test_the_processes_share_the_cores(
    cores: int,
    backend: str,
    pool_size: int,
    processes: int,
    share: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(concurrency, "decode_thread_count", lambda setting: setting or cores)
    settings = Settings(backend=backend, pool_size=pool_size)
    assert concurrency.pool_processes(settings) == processes
    assert concurrency.cores_per_process(settings) == share


def test_celery_gets_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "decode_thread_count", lambda setting: setting or 2)
    monkeypatch.setenv("FASHION_CASCADE_BACKEND", "litert_float32")
    assert LazyConfiguration()["worker_concurrency"] == 3
    monkeypatch.setenv("FASHION_CASCADE_MODEL", "/nowhere")
    assert LazyConfiguration()["worker_concurrency"] == 1
