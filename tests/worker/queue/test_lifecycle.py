"""What a worker process sets before it loads its networks."""

from __future__ import annotations

import os

import pytest

from worker.concurrency import decode_threads
from worker.queue.lifecycle import set_threads_and_device
from worker.settings import Settings


def test_a_worker_pins_its_gpu_lets_memory_grow_and_shares_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for device, visible in (("gpu:1", "1"), ("cpu", "-1"), ("auto", None)):
        monkeypatch.setattr("os.environ", {})
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
        settings = Settings(device=device, pool_size=1 if device == "gpu:1" else 4)
        set_threads_and_device(settings)
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
        assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        threads = "8" if device == "gpu:1" else "2"
        assert os.environ["TF_NUM_INTRAOP_THREADS"] == os.environ["OMP_NUM_THREADS"] == threads
        assert decode_threads(settings) == int(threads)
