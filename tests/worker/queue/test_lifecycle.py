"""What a worker process sets before it loads its networks."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.records import FileState
from tests.worker.crawls import MODEL_NAME
from worker.concurrency import decode_threads
from worker.errors import SettingsError
from worker.model_loader import ModelCache
from worker.queue.lifecycle import Resources, resources, set_threads_and_device
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


def test_a_worker_connects_to_no_address_outside_its_roots(tmp_path: Path) -> None:
    catalogue = Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}")
    models = ModelCache(MODEL_NAME, "")
    worker = Resources(Settings(), catalogue, models, "me")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        addresses = [f"{scheme}://127.0.0.1:{port}/a.png" for scheme in ("ftp", "http")]
        files = [FileState(address) for address in addresses]
        for roots in ((), ("/",), (str(tmp_path),)):
            found = list(worker.decoder(models.default())(files, roots))
            assert [loaded.reason for loaded in found] == ["outside_root"] * 2
        with pytest.raises(BlockingIOError):
            listener.accept()
    worker.close_decoders()
    catalogue.close()


def test_a_worker_whose_roots_were_taken_out_of_its_settings_labels_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its children read the settings when they start, long after the worker itself did."""
    monkeypatch.setenv("FASHION_CASCADE_ROOTS", "")
    with pytest.raises(SettingsError, match="roots: expected the folders"):
        resources()
